"""Secrets: read from files and the environment at the moment they are needed, and kept out of texts.

A secret goes only where it was declared for. What was read once is remembered until the process ends,
also when the file has changed since, so that no server can make us repeat it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.remote.endpoint import Credential
from whybox_server.serving.remote.transport.egress import Entry
from whybox_server.serving.remote.transport.place import Place

FIELD = "endpoint.credential"
HIDDEN = "***"
WINDOW = 8  # characters: so long a piece of a secret is not shown either
LONGEST_SECRET = 1 << 16
MOST_KNOWN = 256

Stamp: TypeAlias = tuple[int, int, int]


@dataclass(slots=True, eq=False)
class Wallet:
    """Reads secrets and knows them again. One for all endpoints; used from any thread."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _files: dict[str, tuple[Stamp, str]] = field(default_factory=dict, repr=False)
    _known: dict[str, None] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def header(self, credential: Credential, place: Place, *, trusted: bool) -> tuple[str, str]:
        """Name and value of the header that carries the secret to this place.

        Raises InvalidRequest if it may not go there, or cannot be read; never with the secret's text.
        """
        called = credential.name or "the credential"
        if not goes_to(credential, place, trusted=trusted):
            raise InvalidRequest.of(
                FIELD, f"{called} may not be sent to {place.host}; its owner names the hosts"
            )
        try:
            secret = self._read(credential)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidRequest.of(
                FIELD, f"{called} cannot be read: {reason}; repair it on the server"
            ) from None
        with self._lock:
            self._known.pop(secret, None)
            self._known[secret] = None
            while len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return credential.header.lower(), credential.prefix + secret

    def redacted(self, text: str, more: Iterable[str] = ()) -> str:
        """The text without any secret read so far, nor any of `more`, nor long pieces of them."""
        with self._lock:
            known = tuple(self._known)
        return redacted(text, (*known, *more))

    def _read(self, credential: Credential) -> str:
        if bool(credential.file) == bool(credential.env):
            raise ValueError("it needs either a file or an environment variable")
        if credential.env:
            return checked(self.environment.get(credential.env, ""))
        stamp = stamp_of(credential.file)
        with self._lock:
            held = self._files.get(credential.file)
        if held is not None and held[0] == stamp:
            return held[1]
        if stamp[1] > LONGEST_SECRET:
            raise ValueError(f"its file is longer than {LONGEST_SECRET} bytes")
        secret = checked(Path(credential.file).read_text(encoding="utf-8"))
        with self._lock:
            self._files[credential.file] = (stamp, secret)
        return secret


def checked(text: str) -> str:
    """The secret without the newline at its end. Raises ValueError if no header can carry it."""
    secret = text.strip()
    if not secret:
        raise ValueError("it is empty or not set")
    if not secret.isascii() or not secret.isprintable():
        raise ValueError("it has more than one line, or characters that no header can carry")
    return secret


def goes_to(credential: Credential, place: Place, *, trusted: bool) -> bool:
    """True if the secret was declared for this host."""
    if not credential.hosts:
        return trusted
    return any(Entry(host=host.lower()).names(place.host) for host in credential.hosts)


def stamp_of(path: str) -> Stamp:
    """Changes whenever the file does; follows the links by which Kubernetes swaps secrets. Raises OSError."""
    about = Path(path).stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` with every run of characters that comes from a secret replaced by three stars.

    A run counts from 8 characters on, or from the whole of a shorter secret; also as URLs write it.
    """
    hidden = [False] * len(text)
    for form in {form for secret in secrets for form in (secret, quote(secret, safe="")) if form}:
        window = min(WINDOW, len(form))
        pieces = {form[i : i + window] for i in range(len(form) - window + 1)}
        for start in range(len(text) - window + 1):
            if text[start : start + window] in pieces:
                hidden[start : start + window] = [True] * window
    shown = []
    for i, letter in enumerate(text):
        if not hidden[i]:
            shown.append(letter)
        elif i == 0 or not hidden[i - 1]:
            shown.append(HIDDEN)
    return "".join(shown)
