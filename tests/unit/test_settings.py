"""What an operator may set, and what is refused before anything listens."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from whybox_server.settings import Settings, flags, from_command_line


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN", "CACHE_MIB", "INSECURE", "EXPLAIN_METHOD", "EXPLAIN_PARAMETERS"):
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


@pytest.mark.parametrize("name", ["iris", "my-model_2", "-", "7"])
def test_a_model_of_kserves_is_named_as_its_gateway_routes_it(name: str) -> None:
    """Its pattern is [\\w-]+, of ASCII: what it does not route, nobody could ask for."""
    assert from_command_line(["--model-name", name]).model_name == name


@pytest.mark.parametrize("name", ["", "iris.v1", "a/b", "models/iris", "eins zwei", "ü", "iris\n"])
def test_other_names_are_refused(name: str) -> None:
    """Before anything listens, and with the reason."""
    with pytest.raises(ValidationError, match="model_name: .* KServe's gateway routes no others"):
        Settings(model_name=name)


@pytest.mark.parametrize(
    "host", ["iris-predictor.models", "iris:8080", "[::1]:1", "https://x.example/prefix", "grpc://10.0.0.1:9"]
)
def test_a_predictor_is_a_host_or_a_url(host: str) -> None:
    assert from_command_line(["--model-name", "m", "--predictor-host", host]).predictor_host == host


@pytest.mark.parametrize("host", ["", "a b", "http://me:secret@x", "ftp://x", "x:70000", "grpc://x", "x/../y"])
def test_other_places_of_a_predictor_are_refused(host: str) -> None:
    """The reader of endpoints' URLs is the judge; what might hold a password is not repeated."""
    with pytest.raises(ValidationError, match="predictor_host: ") as caught:
        from_command_line(["--model-name", "m", f"--predictor-host={host}"])
    assert "secret" not in caught.value.errors()[0]["msg"]


def test_a_predictor_needs_the_name_of_its_model() -> None:
    """The remedy is in the message; and TLS is not asked for in two ways that differ."""
    with pytest.raises(ValidationError, match="predictor_host: give --model-name too"):
        from_command_line(["--predictor-host", "iris"])
    there = ["--model-name", "m", "--predictor-use-ssl", "--predictor-host"]
    assert from_command_line([*there, "x"]).predictor_use_ssl
    assert from_command_line([*there, "grpcs://x"]).predictor_use_ssl
    with pytest.raises(ValidationError, match="predictor_use_ssl: predictor_host is a URL without TLS"):
        from_command_line([*there, "http://x"])


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authorities_of_a_predictor_are_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong path is told at start, with the variable that holds it; without TLS nobody looks there."""
    for one in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "nowhere.pem"))
    there = ["--model-name", "m", "--predictor-host", "x"]
    with pytest.raises(ValidationError, match=f"{name}: .*nowhere.pem is not a file"):
        from_command_line([*there, "--predictor-use-ssl"])
    assert from_command_line(there).predictor_host == "x"
    (tmp_path / "nowhere.pem").touch()
    assert from_command_line([*there, "--predictor-use-ssl"]).predictor_use_ssl


def test_what_explains_by_default_is_known_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Method by name, parameters as JSON; from flags, from the environment and from Python."""
    given = {"samples": 500, "baseline": {"constant": 0.5}}
    for settings in (
        from_command_line(["--explain-parameters", '{"samples": 500, "baseline": {"constant": 0.5}}']),
        Settings(explain_parameters=given),
    ):
        assert settings.explain_parameters == given
    monkeypatch.setenv("WHYBOX_EXPLAIN_PARAMETERS", '{"seed": 1}')
    monkeypatch.setenv("WHYBOX_EXPLAIN_METHOD", "occlusion")
    assert (from_command_line([]).explain_method, from_command_line([]).explain_parameters) == (
        "occlusion",
        {"seed": 1},
    )
    with pytest.raises(ValidationError, match="no method 'kernelshap'; did you mean kernel_shap"):
        from_command_line(["--explain-method", "kernelshap"])
    for wrong in ("5", "[]", "{", "samples=5", ""):
        with pytest.raises(ValidationError, match="JSON"):
            from_command_line([f"--explain-parameters={wrong}"])


def test_health_alone_may_be_asked_from_everywhere_in_plaintext() -> None:
    """It says nothing that a stranger may not hear; so it needs neither TLS nor a word."""
    assert from_command_line(["--health-listen", "0.0.0.0:50052"]).health_listen == "0.0.0.0:50052"
    with pytest.raises(ValidationError, match="health_listen: must be HOST:PORT"):
        from_command_line(["--health-listen", "50052"])


def test_what_lies_under_the_environment_is_over_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four sources, four values; and what comes out is Settings, whatever lay under it."""
    under = {"cache_mib": 5, "model_mib": 6}
    assert from_command_line([], under).cache_mib == 5
    monkeypatch.setenv("WHYBOX_CACHE_MIB", "7")
    assert from_command_line([], under).cache_mib == 7
    assert from_command_line(["--cache-mib", "9"], under) == Settings(cache_mib=9, model_mib=6)


def test_flags_are_told_with_whether_they_have_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own parser is the oracle: alone it takes those without a value, and misses that of the others."""
    for flag, valued in flags().items():
        if not valued:
            assert from_command_line([flag])
            continue
        with pytest.raises(SystemExit):
            from_command_line([flag])
        assert f"argument {flag}: expected one argument" in capsys.readouterr().err
