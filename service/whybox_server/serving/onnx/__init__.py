"""Models that run in this process, in onnxruntime: loading, vetting, meaning, and rows in batches."""
