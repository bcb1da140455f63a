"""A server on the CPU that speaks TGI's HTTP API over ONNX Runtime."""
