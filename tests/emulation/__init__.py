"""Measures whether an emulated answer is drawn as one of which every parameter is native."""
