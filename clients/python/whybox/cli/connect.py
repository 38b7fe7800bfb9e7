"""The client of a command: of the server it names, or of one inside this process."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

from whybox.client import Client
from whybox.embedded import local
from whybox.errors import invalid


def connect(arguments: argparse.Namespace) -> Client:
    """Raises ExplainError for flags that contradict each other, and when no server can be started."""
    if arguments.server is None:
        if arguments.tls_ca is not None:
            raise invalid("--tls-ca", "belongs to --server; a server in this process needs no TLS")
        settings = {} if arguments.endpoints is None else {"endpoints": arguments.endpoints}
        return local(arguments.models, arguments.redis, **settings, **egress_to(arguments))
    for name in ("models", "redis", "endpoints"):
        if getattr(arguments, name) is not None:
            raise invalid(f"--{name}", "belongs to a server inside this process; leave it or --server out")
    return Client(arguments.server, tls_ca=arguments.tls_ca)


def egress_to(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Whoever types an address means it: the server inside this process may go there, and nowhere else."""
    place = urlsplit(getattr(arguments, "endpoint", None) or "").netloc.rpartition("@")[2]
    return {"allow_egress": [place]} if place else {}
