"""KServe's wires: its command line, its V1 and V2 routes, its events and its gRPC service, over the same engine."""
