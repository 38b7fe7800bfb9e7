"""Generated from proto/whybox/v1: the wire contract. `make proto` writes these files."""
