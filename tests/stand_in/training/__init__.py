"""The recipe of the bundled model; `python -m tests.stand_in.training` makes it anew.

Needs the extra `training` (torch, onnx); nothing here is imported when the server runs.
"""
