"""Where an endpoint is: its URL taken apart, strictly, and its host written in one way only.

What two readers could understand differently is refused here: user names, odd spellings of addresses,
backslashes, dots that climb. It knows no policy and opens no connection.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TypeAlias

import idna

from whybox_server.core.errors import InvalidRequest

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

FIELD = "endpoint.url"
LONGEST_URL = 2048
LONGEST_NAME = 253  # RFC 1035
PORTS = {"http": 80, "https": 443, "grpc": 0, "grpcs": 443}  # 0: the URL must name one
SECURE = {"https", "grpcs"}
MOST_PORT = 65535

URL = re.compile(r"([A-Za-z]+)://([^/?#]*)([^?#]*)(?:\?([^#]*))?")
BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?")
PLAIN = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\<>\"^`{|}]")


@dataclass(frozen=True, slots=True)
class Place:
    """A server and a path of it. host: lower-case ASCII, or an address without brackets.

    path: without a slash at its end. query: may hold what nobody should read; it is in no text of ours.
    """

    tls: bool
    host: str
    port: int
    path: str = ""
    query: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self.bracketed}:{self.port}"

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """What a Host header says: the port only if it is not the usual one."""
        return self.bracketed if self.port == (443 if self.tls else 80) else self.address

    def target(self, path: str) -> str:
        """What stands in the request line for a path below this one.

        Raises InvalidRequest if a name in it, of a model for example, would lead elsewhere.
        """
        fine = path.isascii() and not FORBIDDEN.search(path) and "#" not in path and not climbs(path)
        if not fine or path[:1] not in ("", "/"):
            raise InvalidRequest.of("endpoint.model", f"the path {path[:100]!r} cannot be asked for")
        whole = f"{self.path}{path}" or "/"
        joint = "&" if "?" in whole else "?"
        return f"{whole}{joint}{self.query}" if self.query else whole


def place_of(url: str) -> Place:
    """The place that a URL means. Raises InvalidRequest for one that is not written plainly."""
    if len(url) > LONGEST_URL:
        raise wrong(f"longer than {LONGEST_URL} characters")
    if FORBIDDEN.search(url):
        raise wrong("has spaces, control characters or backslashes; percent-encode what belongs to the path")
    match = URL.fullmatch(url)
    if match is None or match[1].lower() not in PORTS:
        raise wrong("must be http(s)://HOST[:PORT][/PATH] or grpc(s)://HOST:PORT, without a #fragment")
    scheme, authority, path = match[1].lower(), match[2], match[3]
    if "@" in authority:
        raise wrong("has a user name or password; declare a credential instead")
    if not f"{path}{match[4]}".isascii() or climbs(path):
        raise wrong("has a path with '..' or with characters that are not percent-encoded")
    host, port = split(authority)
    port = PORTS[scheme] if port is None else port
    if not 0 < port <= MOST_PORT:
        raise wrong(f"needs a port from 1 to {MOST_PORT} after the host")
    return Place(scheme in SECURE, host_of(host), port, path.rstrip("/"), match[4] or "")


def split(authority: str) -> tuple[str, int | None]:
    """Host and port, if there is one."""
    bracketed = BRACKETED.fullmatch(authority)
    if bracketed is not None and ":" not in bracketed[1]:
        raise wrong("has brackets around something that is no IPv6 address")
    match = bracketed or PLAIN.fullmatch(authority)
    if match is None:
        raise wrong("must name a host as HOST, HOST:PORT or [IPV6]:PORT")
    return match[1], None if match[2] is None else int(match[2])


def host_of(text: str) -> str:
    """A host as we write it. Raises InvalidRequest for names that are none, and addresses in disguise."""
    address = address_of(text)
    if address is not None:
        return str(address)
    name = text.removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError:  # idna.IDNAError is one
            raise wrong("has a host that is no name of the internet (IDNA)") from None
    name = name.lower()
    labels = name.split(".")
    if NUMBER.fullmatch(labels[-1]):
        raise wrong("has a host that reads as a number; write addresses as 192.0.2.1 or [2001:db8::1]")
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(label) for label in labels):
        raise wrong("has a host that is neither a name nor an address")
    return name


def address_of(text: str) -> Address | None:
    """An address in its usual spelling: four decimal numbers, or IPv6 without a zone."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise wrong("has an address with a zone, which means something on one machine only")
    return address


def climbs(path: str) -> bool:
    """True if a server may read the path as another one: dots as segments, however they are written."""
    plain = re.sub("%2e", ".", path.partition("?")[0], flags=re.IGNORECASE)
    segments = re.split(r"/|%2f|%5c", plain, flags=re.IGNORECASE)
    return any(segment in (".", "..") for segment in segments)


def wrong(what: str) -> InvalidRequest:
    """The URL itself is not repeated: it may hold a password."""
    return InvalidRequest.of(FIELD, what)
