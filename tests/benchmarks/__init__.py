"""The speed table: `make bench`."""
