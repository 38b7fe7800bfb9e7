"""Models behind an endpoint: what is said on the wire, how it is carried, and how politely it is asked."""
