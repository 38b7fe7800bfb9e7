"""Where endpoints may lead. The table is of addresses and spellings that got others into trouble.

Nothing of it is ever connected to: a dialler that records what it is told to connect to stays empty, and
so does the interpreter's own audit of sockets.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.core.errors import EgressDenied, InvalidRequest
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Call, GrpcCall, HttpCall, Unreachable
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler, Found
from whybox_server.serving.remote.transport.egress import Egress, egress_of, kind_of, refusal
from whybox_server.serving.remote.transport.place import host_of, place_of

CALLS: tuple[Call, ...] = (
    HttpCall("GET", "/v2"),
    GrpcCall("/inference.GRPCInferenceService/ServerLive", b""),
)
PUBLIC = "192.0.32.10"

ADDRESSES = [
    # loopback and what means it
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    # private, shared, link-local
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.0.1",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    # metadata services
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    # IPv4 inside IPv6
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    # gateways to somewhere else
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:808:808::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "192.88.99.1",
    # multicast, broadcast, reserved, documentation
    "224.0.0.1",
    "239.255.255.255",
    "[ff02::1]",
    "[ff0e::1]",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "[2001:db8::1]",
    "[100::1]",
    "[2001:10::1]",
    "[5f00::1]",
]

SPELLINGS = [
    # numbers that inet_aton reads as 127.0.0.1, 169.254.169.254 or 0.0.0.0
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "2852039166",
    "0xa9fea9fe",
    "169.254.43518",
    "0251.0376.0251.0376",
    "0",
    "0x0",
    "00",
    "127.0.0.1.",
    "2130706433.",
    "4294967297",
    # other digits and dots
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "１６９．２５４．１６９．２５４",
    # shapes
    "[127.0.0.1]",
    "[::1%25lo]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[::1",
    "::1",
    "",
    ".",
    "a..b",
    "-a.example",
    "a-.example",
    f"{'a' * 64}.example",
    f"{'a.' * 127}example",
    "exa mple.com",
    "example.com%00.evil.example",
    "example.com\\.evil.example",
    "exam\tple.com",
    "exam\nple.com",
    "user@example.com",
    "user:password@example.com",
    "example.com@127.0.0.1",
    "127.0.0.1:80@example.com",
    "example.com:80:90",
    "example.com:99999",
    "example.com:0",
    "example.com:-1",
    "example.com:http",
    "a_b!.example",
    "xn--",
    "\u202eexample.com",
    "\u00ad",
]

URLS = [
    "",
    "example.com",
    "//example.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "https:example.com",
    "https:/example.com",
    "https:///example.com",
    "https:\\\\example.com",
    " https://example.com",
    "https://example.com#@127.0.0.1/",
    "https://example.com/../x",
    "https://example.com/%2e%2e/x",
    "https://example.com/a\r\nHost: evil",
    "https://example.com/é",
    "https://example.com?a=é",
    "grpc://example.com",
    "https://" + "a" * 3000,
]

NAMES = {
    "localhost": ["::1", "127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "LOCALHOST": ["127.0.0.1"],
    "service.localhost": ["127.0.0.1"],
    "localtest.me": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "METADATA.GOOGLE.INTERNAL.": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "translated.example": ["64:ff9b::7f00:1"],
    "six-to-four.example": ["2002:7f00:1::"],
    "zone.example": ["fe80::1%2"],
    "many.example": ["10.0.0.1", "fd00::1", "127.0.0.1"],
    "ⓛocalhost": ["127.0.0.1"],
    "ｌｏｃａｌｈｏｓｔ": ["127.0.0.1"],
    "a.b_c.example": ["192.168.0.1"],
}


@dataclass(eq=False)
class Watch:
    """A dialler's two hands: it knows the names above, connects to nothing and remembers what it should have."""

    names: dict[str, list[str]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> Sequence[Found]:
        found = []
        for address in self.names.get(host, [host]):
            bare, _, zone = address.partition("%")
            six = ipaddress.ip_address(bare).version == 6
            family = socket.AF_INET6 if six else socket.AF_INET
            found.append(Found(family, (address, port, 0, int(zone or 0)) if six else (address, port)))
        return found

    def connect(self, found: Found, timeout_s: float) -> socket.socket:
        self.told.append(found.sockaddr[0])
        raise ConnectionRefusedError(111, "Connection refused")

    def dialler(self, *allowed: str) -> Dialler:
        return Dialler(egress_of(allowed), self.resolve, self.connect)


def canonical(names: dict[str, list[str]]) -> dict[str, list[str]]:
    return {place_of(f"https://{name}").host: addresses for name, addresses in names.items()}


@pytest.fixture(scope="session")
def audit() -> list[object]:
    """Every socket address that Python itself connects to, in this process, from now on. Hooks stay."""
    connected: list[object] = []
    sys.addaudithook(lambda event, args: connected.append(args[1]) if event == "socket.connect" else None)
    return connected


@pytest.fixture
def untouched(audit: list[object]) -> Iterator[Watch]:
    """Whatever the test does, nothing was connected to."""
    watch = Watch(canonical(NAMES))
    before = len(audit)
    yield watch
    assert watch.told == []
    assert audit[before:] == []


def ask(url: str, dialler: Dialler, *, trusted: bool = False) -> list[Exception]:
    """What comes of asking over either wire; an answer is impossible here."""
    caught: list[Exception] = []
    for call in CALLS:
        try:
            way = carrier_to(Endpoint(url, trusted=trusted), dialler, Wallet())
            way.exchange(call, 5.0)
        except Exception as error:
            caught.append(error)
    assert len(caught) == len(CALLS)
    return caught


@pytest.mark.parametrize("scheme", ["https", "http", "grpcs"])
@pytest.mark.parametrize("host", ADDRESSES)
def test_no_address_of_the_table_is_reached(untouched: Watch, scheme: str, host: str) -> None:
    """Denied by the policy, on both wires, encrypted or not."""
    assert all(
        isinstance(error, EgressDenied) for error in ask(f"{scheme}://{host}:8443/", untouched.dialler())
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_name_that_leads_there_is_followed(untouched: Watch, name: str) -> None:
    """The addresses of a name are judged, and not told to whoever asked for the name."""
    for error in ask(f"https://{name}", untouched.dialler()):
        assert isinstance(error, EgressDenied)
        assert not any(address in str(error) for addresses in NAMES.values() for address in addresses)


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_other_spelling_of_an_address_is_a_host(untouched: Watch, host: str) -> None:
    """Refused when the endpoint is declared; only the plain spelling is an address."""
    if host == "127.0.0.1.":  # a dot at the end is taken off, as for names; what is left is judged
        assert all(
            isinstance(error, EgressDenied | InvalidRequest)
            for error in ask(f"https://{host}", untouched.dialler())
        )
        return
    assert all(isinstance(error, InvalidRequest) for error in ask(f"https://{host}/v1", untouched.dialler()))


@pytest.mark.parametrize("url", URLS)
def test_no_other_shape_of_url_is_an_endpoint(untouched: Watch, url: str) -> None:
    """One grammar, and no guessing."""
    assert all(isinstance(error, InvalidRequest) for error in ask(url, untouched.dialler()))


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"]
)
@pytest.mark.parametrize("allowed", ["0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8", "64:ff9b::/96"])
def test_a_wide_network_does_not_open_metadata_services(untouched: Watch, host: str, allowed: str) -> None:
    """Nor does the operator's own declaration; only the address itself does."""
    for trusted in (False, True):
        errors = ask(f"http://{host}/", untouched.dialler(allowed), trusted=trusted)
        assert all(isinstance(error, EgressDenied) for error in errors)


def test_the_metadata_service_opens_to_who_names_it() -> None:
    """An operator may have his reasons; and the table's oracle can see a connection when there is one."""
    watch = Watch()
    errors = ask("http://169.254.169.254/", watch.dialler("169.254.169.254"))
    assert all(isinstance(error, Unreachable) for error in errors)
    assert watch.told == ["169.254.169.254"] * 2


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080", "127.0.0.0/8"),
        ("http://127.0.0.1:8080", "127.0.0.1"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://[::1]:8080", "::1"),
        ("http://[::ffff:127.0.0.1]:8080", "127.0.0.0/8"),
        ("https://10.1.2.3:22", "10.0.0.0/8:22"),
        ("https://[fd00::1]", "[fd00::/8]:443"),
        ("http://model.svc:80", "model.svc"),
        ("http://MODEL.svc.:80", "model.SVC."),
        ("http://a.b.svc:80", "*.svc"),
        ("http://bücher.example", "xn--bcher-kva.example"),
        ("http://bücher.example", "BÜCHER.example"),
    ],
)
def test_what_the_operator_allows_is_connected_to(url: str, allowed: str) -> None:
    """Networks by the address, hosts by their name; also in plaintext and on any port."""
    watch = Watch({"model.svc": ["10.0.0.7"], "a.b.svc": ["10.0.0.7"], "xn--bcher-kva.example": ["10.0.0.7"]})
    assert all(isinstance(error, Unreachable) for error in ask(url, watch.dialler("192.0.2.0/24", allowed)))
    assert len(watch.told) == len(CALLS)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8081", "127.0.0.1:8080"),
        ("http://127.0.0.2:8080", "127.0.0.1"),
        ("http://svc:80", "*.svc"),
        ("http://evilmodel.svc:80", "model.svc"),
        ("http://evil-svc:80", "*.svc"),
        ("http://model.svc.evil.example:80", "model.svc"),
        ("http://linklocal.svc:80", "*.svc"),
        ("http://[fd00::1]", "10.0.0.0/8"),
    ],
)
def test_what_is_only_like_it_is_not(untouched: Watch, url: str, allowed: str) -> None:
    """Another port, another address, a name that ends alike; a name that leads to a link-local address."""
    untouched.names |= {
        "svc": ["10.0.0.7"],
        "evilmodel.svc": ["10.0.0.7"],
        "evil-svc": ["10.0.0.7"],
        "model.svc.evil.example": ["10.0.0.7"],
        "linklocal.svc": ["169.254.1.1"],
    }
    assert all(isinstance(error, EgressDenied) for error in ask(url, untouched.dialler(allowed)))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://{PUBLIC}", "use https"),
        (f"http://{PUBLIC}:443", "use https"),
        (f"grpc://{PUBLIC}:8500", "use https"),
        (f"https://{PUBLIC}:22", "port 22"),
        (f"https://{PUBLIC}:25", "port 25"),
    ],
)
def test_public_addresses_are_asked_over_tls_on_ports_of_servers(
    untouched: Watch, url: str, words: str
) -> None:
    """Rows and answers are nobody else's business, and mail servers are no model servers."""
    for error in ask(url, untouched.dialler()):
        assert isinstance(error, EgressDenied)
        assert words in str(error)
        assert "--allow-egress" in str(error)


@pytest.mark.parametrize(
    "url",
    [f"https://{PUBLIC}", f"https://{PUBLIC}:8443", f"grpcs://{PUBLIC}", "https://[2606:2800:220:1::1]"],
)
def test_public_addresses_are_open(url: str) -> None:
    """That is what endpoints of callers are for."""
    watch = Watch()
    assert all(isinstance(error, Unreachable) for error in ask(url, watch.dialler()))
    assert len(watch.told) == len(CALLS)


def test_of_a_names_addresses_only_permitted_ones_are_tried() -> None:
    """A name with a public and a private address leads to the public one only."""
    watch = Watch({"mixed.example": ["10.0.0.1", PUBLIC, "::1", "169.254.169.254"]})
    ask("https://mixed.example", watch.dialler())
    assert watch.told == [PUBLIC] * len(CALLS)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "http://127.0.0.1:80", "http://model.svc:8080", "grpc://[fd00::1]:9000"]
)
def test_the_operators_own_endpoints_are_in_his_network(url: str) -> None:
    """What he declared needs no second permission, and no TLS inside a cluster."""
    watch = Watch({"model.svc": ["10.0.0.7"]})
    assert all(isinstance(error, Unreachable) for error in ask(url, watch.dialler(), trusted=True))
    assert len(watch.told) == len(CALLS)


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "http://a",
        "a b",
        "a:b",
        "a:0",
        "a:70000",
        "*",
        "*.",
        "0x7f.1",
        "10.0.0.0/8:0",
    ],
)
def test_an_entry_that_is_none_is_named(entry: str) -> None:
    """An operator who errs must not open, or close, something else."""
    with pytest.raises(ValueError, match=r"is no host"):
        egress_of([entry])


def test_what_the_interpreter_calls_special_we_do_not_call_public() -> None:
    """Against `ipaddress` on 6000 random addresses: of IPv4, of all of IPv6, and of the part given out."""
    rng = random.Random(7)
    for _ in range(2000):
        six = rng.getrandbits(128)
        for bits in (ipaddress.IPv4Address(rng.getrandbits(32)), ipaddress.IPv6Address(six)):
            if not bits.is_global or bits.is_multicast or bits.is_reserved:
                assert kind_of(bits), bits
        given = ipaddress.IPv6Address(0b001 << 125 | six >> 3)
        assert kind_of(given) or given.is_global


def test_the_watch_sees_a_connection_when_there_is_one(audit: list[object]) -> None:
    """Break it once: with everything allowed, the same dialler connects, and the audit says where to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        dialler = Dialler(egress_of(["127.0.0.0/8"]))
        dialler.dial(place_of(f"http://127.0.0.1:{address[1]}"), 5.0, trusted=False).close()
    assert address in audit


def test_a_host_that_is_allowed_is_allowed_by_name_only() -> None:
    """Another name for the same address is another place."""
    egress = Egress(egress_of(["model.svc"]).entries)
    address = ipaddress.ip_address("10.0.0.7")
    assert refusal(egress, place_of("http://model.svc"), address, trusted=False) == ""
    assert "private" in refusal(egress, place_of("http://other.svc"), address, trusted=False)


def test_a_name_server_that_hangs_keeps_nobody() -> None:
    """The caller's time is kept; and when as many lookups hang as may, no more threads are started."""
    over = threading.Event()

    def hang(host: str, port: int) -> Sequence[Found]:
        over.wait()
        return []

    dialler = Dialler(resolve=hang, lookups=threading.Semaphore(2))
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(Unreachable, match="looked up in time") as caught:
            dialler.dial(place_of("https://slow.example"), 0.02, trusted=False)
        assert caught.value.late
        assert not caught.value.sent
    assert threading.active_count() <= before + 2
    over.set()


def test_a_name_that_is_none_is_said() -> None:
    """Nobody is asked; trying again may help, name servers have bad moments."""

    def unknown(host: str, port: int) -> Sequence[Found]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(Unreachable, match="no such host") as caught:
        Dialler(resolve=unknown).dial(place_of("https://nowhere.example"), 5.0, trusted=False)
    assert not caught.value.sent
    assert not caught.value.lasting


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    """As with localhost, which is ::1 first, and a server that listens on 127.0.0.1 only."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_server(("127.0.0.2", 0)) as other:
            gone = other.getsockname()

        def both(host: str, port: int) -> Sequence[Found]:
            return [Found(socket.AF_INET, gone), Found(socket.AF_INET, listener.getsockname())]

        dialler = Dialler(egress_of(["127.0.0.0/8"]), resolve=both)
        with dialler.dial(place_of(f"http://two.example:{port}"), 5.0, trusted=False) as opened:
            assert opened.getpeername() == listener.getsockname()


HOSTLIKE = st.text(alphabet="aZ09.-_:[]@%/\\#?１。ßüⓐ\u200d\u0660\ud800 \t", max_size=30)


@given(HOSTLIKE, st.sampled_from(["https://", "grpc://", "HTTP://", "http:/"]), HOSTLIKE)
def test_a_url_is_understood_in_one_way_or_not_at_all(host: str, scheme: str, rest: str) -> None:
    """What is taken: a host of a strict alphabet, which read again is itself, and a port; nothing else is raised."""
    try:
        place = place_of(f"{scheme}{host}{rest}")
    except InvalidRequest as error:
        assert error.violations[0].field == "endpoint.url"
        return
    assert set(place.host) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._:")
    assert 0 < place.port < 65536
    assert host_of(place.host) == place.host
    assert place_of(f"https://{place.address}").host == place.host


def test_a_password_in_a_url_is_not_repeated() -> None:
    """The remedy is a credential."""
    with pytest.raises(InvalidRequest, match="credential") as caught:
        place_of("https://me:hunter2@models.example.com/")
    assert "hunter2" not in str(caught.value)
