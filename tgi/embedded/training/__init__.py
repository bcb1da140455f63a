"""The recipe of the bundled model; `python -m tgi.embedded.training` makes it anew.

Needs the extra `training` (torch, onnx); nothing here is imported when the server runs.
"""
