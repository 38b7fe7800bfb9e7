"""What the Open Inference Protocol takes and says over gRPC, under a package name of our own."""
