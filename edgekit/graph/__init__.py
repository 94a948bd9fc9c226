"""Read .onnx files: what is in them, without running them."""
