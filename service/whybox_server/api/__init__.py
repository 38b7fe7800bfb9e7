"""The gRPC edge: decodes requests into tasks, encodes answers, and maps errors to statuses."""
