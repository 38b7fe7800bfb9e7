"""ONNX in, ONNX out: cutting a model at its scores, and building rows inside a graph. No runtime."""
