"""What TensorFlow Serving's PredictionService takes and says, under a package name of our own."""
