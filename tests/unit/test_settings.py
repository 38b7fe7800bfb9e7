"""What an operator may set, and what is refused before anything listens."""

import pytest
from pydantic import ValidationError

from whybox_server.settings import Settings, from_command_line


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN", "CACHE_MIB", "INSECURE"):
        monkeypatch.delenv(f"WHYBOX_{name}", raising=False)


def test_flags_win_over_the_environment_and_that_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sources, three values."""
    assert from_command_line([]).cache_mib == 256
    monkeypatch.setenv("WHYBOX_CACHE_MIB", "7")
    assert from_command_line([]).cache_mib == 7
    assert from_command_line(["--cache-mib", "9"]).cache_mib == 9


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "10.1.2.3:1", "whybox.example:443"])
def test_other_machines_are_not_served_in_plaintext_by_accident(address: str) -> None:
    """Only with --insecure, said aloud."""
    with pytest.raises(ValidationError, match="insecure"):
        from_command_line(["--listen", address])
    assert from_command_line(["--listen", address, "--insecure"]).listen == address


@pytest.mark.parametrize("address", ["50051", "localhost", "localhost:http", "localhost:70000", ":50051"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    """The message names the field."""
    with pytest.raises(ValidationError, match="listen"):
        from_command_line(["--listen", address])


def test_a_certificate_needs_its_key() -> None:
    """Half of TLS is none."""
    with pytest.raises(ValidationError, match="tls_key"):
        from_command_line(["--tls-cert", "cert.pem"])


def test_egress_is_a_list_of_hosts_and_networks() -> None:
    """From flags with commas, from Python as a list; nothing is allowed by default."""
    assert from_command_line([]).allow_egress == ""
    assert from_command_line(["--allow-egress", "10.0.0.0/8,*.svc:8080"]).allow_egress == "10.0.0.0/8,*.svc:8080"
    assert Settings(allow_egress=["127.0.0.0/8", "::1"]).allow_egress == "127.0.0.0/8,::1"


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "http://model.svc", "10.0.0.0/8;::1", "*"])
def test_an_egress_entry_that_is_none_is_named(entry: str) -> None:
    """Before anything listens: a typing error must not open, or close, something else."""
    with pytest.raises(ValidationError, match="allow_egress"):
        from_command_line(["--allow-egress", f"127.0.0.1,{entry}"])


def test_json_over_http_is_off_and_as_careful_as_grpc() -> None:
    """An address that others reach needs TLS, or a word that something else encrypts."""
    assert from_command_line([]).http_listen is None
    assert from_command_line(["--http-listen", "127.0.0.1:8080"]).http_listen == "127.0.0.1:8080"
    with pytest.raises(ValidationError, match="http_listen: 0.0.0.0 is reachable from other machines"):
        from_command_line(["--http-listen", "0.0.0.0:8080"])
    assert from_command_line(["--http-listen", "0.0.0.0:8080", "--insecure"]).http_listen == "0.0.0.0:8080"
    with pytest.raises(ValidationError, match="http_listen: must be HOST:PORT"):
        from_command_line(["--http-listen", "8080"])
