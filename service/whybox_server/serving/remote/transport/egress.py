"""Who may be asked: decided on the address that a connection really goes to, never on a name alone.

An endpoint that came with a request may lead to public addresses, encrypted. One that the operator
declared may lead into his own networks too. Nobody gets to metadata services, link-local, multicast and
translated addresses unless the operator names their network, and metadata services only by address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.remote.transport.place import Address, Place, host_of, split

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

HTTPS = 443
FIRST_UNPRIVILEGED_PORT = 1024

# What hands out keys to whoever asks from this machine: AWS, GCP, Azure and others; ECS; EKS; Azure's
# wire server; Alibaba; Oracle.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ],
    )
)

# The special-purpose registries of IANA, as kinds; the first that holds an address names it.
KINDS: tuple[tuple[str, tuple[Network, ...]], ...] = tuple(
    (kind, tuple(map(ipaddress.ip_network, networks.split())))
    for kind, networks in [
        ("an unspecified", "0.0.0.0/8 ::/128"),
        ("a loopback", "127.0.0.0/8 ::1/128"),
        ("a private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10"),
        ("a shared", "100.64.0.0/10"),
        ("a link-local", "169.254.0.0/16 fe80::/10"),
        ("a multicast", "224.0.0.0/4 ff00::/8"),
        ("a NAT64", "64:ff9b::/96 64:ff9b:1::/48"),
        ("a 6to4", "2002::/16 192.88.99.0/24"),
        ("a Teredo", "2001::/32"),
        ("an IPv4-compatible", "::/96"),
        ("an IPv4-translated", "::ffff:0:0:0/96"),
        ("a documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        ("a benchmarking", "198.18.0.0/15 2001:2::/48"),
        ("a discarding", "100::/64"),
        ("a segment-routing", "5f00::/16"),
        ("a reserved", "192.0.0.0/24 240.0.0.0/4 2001::/23"),
    ]
)
UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA has given out of IPv6
OWN = {"a loopback", "a private", "a shared"}  # where an operator's servers are
NEVER = {"an unspecified", "a multicast"}  # no server has one


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is allowed: a network or a host, on one port or on all (None)."""

    network: Network | None = None
    host: str = ""  # "*.example.org": everything below it
    port: int | None = None

    def holds(self, address: Address) -> bool:
        return self.network is not None and address in self.network

    def names(self, host: str) -> bool:
        if self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return bool(self.host) and host == self.host


@dataclass(frozen=True, slots=True)
class Egress:
    """What the operator allows beyond public addresses."""

    entries: tuple[Entry, ...] = ()


def egress_of(entries: Iterable[str]) -> Egress:
    """From HOST, *.HOST, ADDRESS or CIDR, each with :PORT if only that one is meant.

    Raises ValueError that names the entry.
    """
    return Egress(tuple(entry_of(text.strip()) for text in entries if text.strip()))


def entry_of(text: str) -> Entry:
    try:
        return Entry(network=ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        if "/" in text:  # 10.0.0.0/8:443, [fd00::/8]:443
            inner, colon, port = text.rpartition(":")
            network = ipaddress.ip_network(inner.removeprefix("[").removesuffix("]"))
            return Entry(network=network, port=port_of(port if colon else ""))
        host, number = split(text)
        port_number = None if number is None else port_of(str(number))
        wildcard = "*." if host.startswith("*.") else ""
        host = host_of(host.removeprefix("*."))
    except (ValueError, InvalidRequest):
        raise ValueError(f"{text!r} is no host, *.host, address or network (10.0.0.0/8)") from None
    literal = literal_address(host)
    if literal is not None:
        return Entry(network=ipaddress.ip_network(literal), port=port_number)
    return Entry(host=wildcard + host, port=port_number)


def port_of(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 65535:
        raise ValueError(text)
    return int(text)


def literal_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def kind_of(address: Address) -> str:
    """What is special about an address, with its article; "" for a public one."""
    if address in METADATA:
        return "a metadata service's"
    for kind, networks in KINDS:
        if any(address in network for network in networks if network.version == address.version):
            return kind
    allotted = address.version == 4 or address in UNICAST
    return "" if allotted and address.is_global else "a reserved"


def plain(address: Address) -> Address:
    """The IPv4 address inside ::ffff:a.b.c.d: that is where such a connection goes."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def embedded(address: Address) -> tuple[Address, ...]:
    """IPv4 addresses that a gateway may send this one on to: NAT64, 6to4, Teredo, compatible."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    found: list[Address] = []
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    if kind_of(address) in ("a NAT64", "an IPv4-compatible", "an IPv4-translated"):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)


def refusal(egress: Egress, place: Place, address: Address, *, trusted: bool) -> str:
    """Why a connection for `place` may not go to this address; "" if it may."""
    address = plain(address)
    entries = [entry for entry in egress.entries if entry.port in (None, place.port)]
    listed = any(entry.holds(address) for entry in entries)
    at_home = trusted or listed or any(entry.names(place.host) for entry in entries)
    kind = kind_of(address)
    if kind in NEVER:
        return f"it leads to {kind} address, where no server is"
    hidden = [inner for inner in (address, *embedded(address)) if inner in METADATA]
    if any(not exactly(entries, inner) for inner in hidden):
        return "it leads to a metadata service's address"
    if kind and not listed and not (at_home and kind in OWN):
        return f"it leads to {kind} address"
    if not place.tls and not at_home:
        return "it is not encrypted; use https"
    if not at_home and place.port != HTTPS and place.port < FIRST_UNPRIVILEGED_PORT:
        return f"port {place.port} is not one for model servers"
    return ""


def exactly(entries: Iterable[Entry], address: Address) -> bool:
    """True if this very address was allowed, not only a network around it."""
    return any(entry.network == ipaddress.ip_network(address) for entry in entries)
