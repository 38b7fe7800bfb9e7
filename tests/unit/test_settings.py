"""What an operator may set, and what is refused before anything listens."""

import pytest
from pydantic import ValidationError

from whybox_server.settings import from_command_line


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
