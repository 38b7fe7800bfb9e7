"""KServe's command line, in our words. Oracles: what its controller appends, and its SDK's own table of flags."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.app import serve_main
from whybox_server.kserve.flags import FLAGS, MIB, SIGNS, Spoken, WrongFlag, understood
from whybox_server.settings import Settings, flags, from_command_line

APPENDED = [
    "--model_name",
    "iris",
    "--predictor_host",
    "iris-predictor.models",
    "--http_port",
    "8080",
    "--workers",
    "4",
]
OURS = flags()
SDK = Path("~/.cache/whybox/peers/kserve/lib/python3.11/site-packages/kserve/model_server.py").expanduser()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("WHYBOX_")]:
        monkeypatch.delenv(name)


def spoken(*words: str) -> Spoken:
    return understood(words, OURS)


def settings(*words: str) -> Settings:
    said = spoken(*words)
    return from_command_line(said.argv, said.under)


def unknown(*words: str) -> dict[str, str]:
    return {note.flag: note.why for note in spoken(*words).notes if note.unknown}


def test_what_the_controller_appends_is_understood() -> None:
    """explainer_custom.go appends these four; the ports are those of KServe's servers, and the rest is ours."""
    found = settings(*APPENDED)
    assert (found.model_name, found.predictor_host) == ("iris", "iris-predictor.models")
    assert (found.http_listen, found.listen, found.insecure) == ("0.0.0.0:8080", "0.0.0.0:8081", True)
    assert (found.predictor_protocol, found.predictor_timeout_s) == ("auto", 600.0)
    assert found.message_mib >= 8
    changed = {"model_name", "predictor_host", "http_listen", "listen", "insecure"}
    assert {name: getattr(found, name) for name in Settings.model_fields if name not in changed} == {
        name: value for name, value in Settings().model_dump().items() if name not in changed
    }
    (workers,) = spoken(*APPENDED).notes
    assert (workers.flag, workers.unknown) == ("--workers", False)
    assert "one process" in workers.why


def test_both_spellings_mean_the_same_and_the_last_flag_counts() -> None:
    """As argparse has it, of which KServe's servers are made."""
    joined = [f"{name}={value}" for name, value in zip(APPENDED[::2], APPENDED[1::2], strict=True)]
    assert settings(*joined) == settings(*APPENDED)
    assert settings(*APPENDED, "--http_port", "9000", "--http_port=9001").http_listen == "0.0.0.0:9001"
    assert settings("--http_port", "9001", *APPENDED).http_listen == "0.0.0.0:8080"


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--grpc_port 9", "listen", "0.0.0.0:9"),
        ("--predictor_protocol grpc-v2", "predictor_protocol", "grpc-v2"),
        ("--predictor_protocol auto", "predictor_protocol", "auto"),
        ("--grpc_port 1 --protocol v2", "predictor_protocol", "v2"),
        ("--predictor_protocol v1 --protocol v2", "predictor_protocol", "v1"),
        ("--predictor_use_ssl True", "predictor_use_ssl", True),
        ("--predictor_use_ssl=0", "predictor_use_ssl", False),
        ("--predictor_request_timeout_seconds 7", "predictor_timeout_s", 7.0),
        (f"--grpc_max_receive_message_length {100 * MIB}", "message_mib", 100),
        (f"--grpc_max_receive_message_length {9 * MIB + 1}", "message_mib", 10),
        (f"--grpc_max_send_message_length {30 * MIB} --grpc_max_receive_message_length 1", "message_mib", 30),
        ("--grpc_max_send_message_length 1000", "message_mib", 8),
        ("--grpc_max_send_message_length -1", "message_mib", 2047),
    ],
)
def test_a_flag_of_kserves_sets_one_of_ours(words: str, name: str, value: object) -> None:
    """The table of contract 2.2, flag by flag; for a message the larger of two limits, 8 MiB at least."""
    assert getattr(settings(*words.split()), name) == value


def test_what_gives_kserve_tls_gives_it_to_us(tmp_path: Path) -> None:
    """A certificate makes the ports TLS, whatever else is allowed."""
    for name in ("cert", "key"):
        (tmp_path / name).touch()
    found = settings("--ssl_certfile", str(tmp_path / "cert"), f"--ssl_keyfile={tmp_path / 'key'}")
    assert (found.tls_cert, found.tls_key) == (tmp_path / "cert", tmp_path / "key")


def test_our_own_flags_and_variables_win_over_kserves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a controller appends to every explainer must not undo what this one's operator says."""
    monkeypatch.setenv("WHYBOX_HTTP_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("whybox_predictor_host", "transformer.models")
    found = settings("--listen", "127.0.0.1:2", "--model-name", "ours", *APPENDED)
    assert (found.http_listen, found.listen) == ("127.0.0.1:1", "127.0.0.1:2")
    assert (found.model_name, found.predictor_host) == ("ours", "transformer.models")
    monkeypatch.setenv("WHYBOX_INSECURE", "false")
    with pytest.raises(ValueError, match="reachable from other machines"):
        settings(*APPENDED)


@pytest.mark.parametrize("words", [[], ["--cache-mib", "9"], ["--workers", "4"], ["--event-loop", "uvloop"]])
def test_without_a_flag_in_kserves_spelling_nothing_changes(words: list[str]) -> None:
    """Nobody listens on all addresses in plaintext by accident: it takes a flag that only KServe has."""
    assert spoken(*words) == Spoken(tuple(words))


@pytest.mark.parametrize("words", [["--workers", "4"], ["--bogus"], ["--cache_mib", "9"]])
def test_without_a_flag_in_kserves_spelling_an_unknown_flag_is_an_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error must not be lost."""
    with pytest.raises(SystemExit):
        settings(*words)
    assert words[0] in capsys.readouterr().err


def test_unknown_flags_are_left_out_and_told() -> None:
    """With what follows them, which may be a secret and is told nobody; and with a near name, of ours first."""
    words = "--token s3cret --cache_mib 9 --verbose --htpp_port=1 AnchorTabular --batch -5 --cache-mib 7".split()
    assert unknown(*APPENDED, *words) == {
        "--token": "neither KServe's servers nor whybox have it",
        "--cache_mib": "did you mean --cache-mib?",
        "--verbose": "neither KServe's servers nor whybox have it",
        "--htpp_port": "did you mean --http_port?",
        "a word without a flag": "neither KServe's servers nor whybox have it",
        "--batch": "neither KServe's servers nor whybox have it",
        "-5": "neither KServe's servers nor whybox have it",
    }
    assert "s3cret" not in repr(spoken(*APPENDED, *words))
    assert settings(*APPENDED, *words).cache_mib == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--http_port abc", "--http_port: must be a whole number, got 'abc'"),
        ("--http_port 65536", "--http_port: must be a port"),
        ("--grpc_port=-1", "--grpc_port: must be a port"),
        ("--grpc_port=", "--grpc_port: must be a whole number"),
        ("--model_name x --workers many", "--workers: must be a whole number"),
        ("--predictor_protocol v3", "--predictor_protocol: must be auto, v1, v2 or grpc-v2, got 'v3'"),
        ("--http_port 1 --protocol seldon.grpc", "--protocol: must be"),
        ("--predictor_use_ssl maybe", "--predictor_use_ssl: must be true or false"),
        ("--predictor_request_timeout_seconds 0", "--predictor_request_timeout_seconds: must be more than 0"),
        ("--grpc_max_send_message_length -2", "--grpc_max_send_message_length: must be a number of bytes"),
        ("--predictor_host=", "--predictor_host: must not be empty"),
        ("--model_name --predictor_host x", "--model_name: needs a value"),
        ("--workers 1 --model_name", "--model_name: needs a value"),
        ("--max_threads 0.5", "--max_threads: must be a whole number"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_kserves_flag(words: str, said: str) -> None:
    """Not the setting that it stands for, which nobody wrote."""
    with pytest.raises(WrongFlag, match=re.escape(said)):
        spoken(*words.split())


def test_a_model_name_that_the_gateway_does_not_route_is_refused() -> None:
    """The message has KServe's spelling of the flag, and says why."""
    with pytest.raises(ValueError, match=r"model_name: 'iris\.v2' must be letters, digits, - and _"):
        settings("--model_name", "iris.v2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--http_port abc", "--http_port: must be a whole number, got 'abc'"),
        ("--model_name a.b", "model_name: 'a.b' must be letters, digits, - and _"),
        ("--model_name a --explain-method liem", "explain_method: no method 'liem'; did you mean lime"),
        ('--model_name a --explain-parameters {"num_sample":1}', "explain_parameters.num_sample: no such parameter"),
    ],
)
def test_a_wrong_command_line_ends_the_server_with_status_2(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything listens, with one line that says what to mend."""
    assert serve_main(words.split()) == 2
    assert capsys.readouterr().err.startswith(f"whybox serve: {said}")


def test_every_flag_sets_something_or_says_why_not() -> None:
    """And what it sets exists; no flag of KServe's is one of ours."""
    for name, flag in FLAGS.items():
        assert bool(flag.setting) is not bool(flag.why), name
        assert not flag.setting or flag.setting in Settings.model_fields
        assert name not in OURS
    assert {"--model_name", "--predictor_host", "--http_port"} <= SIGNS


@pytest.mark.skipif(not SDK.exists(), reason="KServe's SDK is not installed here")
def test_all_flags_of_kserves_sdk_are_known() -> None:
    """Its own table is the oracle: name by name, and whether it has a value."""
    calls = re.findall(r'parser\.add_argument\(\s*"(--[\w-]+)"(.*?)\n\)', SDK.read_text(), re.DOTALL)
    assert len(calls) > 20
    assert {name for name, _ in calls} - {"--predictor_protocol"} <= set(FLAGS)
    for name, rest in calls:
        assert (FLAGS[name].read is None) is ("store_true" in rest), name


WORDS = st.sampled_from(
    [*FLAGS, *OURS, "--x", "-y", "--a=b", "z", "1", "true", "v2", "--http_port=3", "--help", "--", ""]
)


@given(st.lists(WORDS | st.text(max_size=5), max_size=8))
def test_any_words_are_understood_or_refused_by_name(words: list[str]) -> None:
    """Nothing else happens; and what is left for our own parser are flags of ours with their values, in order."""
    try:
        said = understood(words, OURS)
    except WrongFlag as error:
        assert str(error).partition(":")[0] in FLAGS
        return
    if not said.kserve:
        assert list(said.argv) == words
        return
    rest = iter(words)
    assert all(word in rest for word in said.argv)
    assert not said.argv or said.argv[0].partition("=")[0] in {*OURS, "-h", "--help"}
    assert set(said.under) <= set(Settings.model_fields)
