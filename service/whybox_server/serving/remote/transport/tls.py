"""TLS to an endpoint: who vouches for the server, and who we say we are; read again when a file changes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc

from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.remote.endpoint import Tls
from whybox_server.serving.remote.transport.credentials import Stamp, stamp_of

FIELD = "endpoint.tls"


def stamps_of(tls: Tls) -> tuple[Stamp, ...]:
    """Changes whenever one of the files does. Raises InvalidRequest naming the one that is missing."""
    stamps = []
    for name in ("ca", "cert", "key"):
        path: str = getattr(tls, name)
        if not path:
            continue
        try:
            stamps.append(stamp_of(path))
        except OSError as error:
            raise InvalidRequest.of(f"{FIELD}.{name}", f"cannot be read: {error.strerror}") from None
    return tuple(stamps)


def context_of(tls: Tls) -> ssl.SSLContext:
    """For `ssl`: certificates and host names are checked, whoever the authority is. Raises InvalidRequest."""
    check_pair(tls)
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            # An encrypted key would ask for its password on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password=no_password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise unusable(error) from None
    return context


def credentials_of(tls: Tls) -> Any:
    """For gRPC. Raises InvalidRequest."""
    if tls != Tls():
        context_of(tls)  # says what is wrong with the files; gRPC would only fail to connect
    parts = [Path(path).read_bytes() if path else None for path in (tls.ca, tls.key, tls.cert)]
    return grpc.ssl_channel_credentials(*parts)


def check_pair(tls: Tls) -> None:
    if bool(tls.cert) != bool(tls.key):
        raise InvalidRequest.of(FIELD, "cert and key go together: give both or neither")


def no_password() -> str:
    raise ValueError("the private key is encrypted")


def unusable(error: Exception) -> InvalidRequest:
    reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
    return InvalidRequest.of(FIELD, f"certificates cannot be used: {reason}")
