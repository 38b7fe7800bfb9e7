"""Secrets: where they come from, where they go, and where they must never be seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.remote.endpoint import Credential, Endpoint
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import HIDDEN, WINDOW, Wallet, redacted
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.headers import headers_of
from whybox_server.serving.remote.transport.place import place_of

HERE = place_of("https://api.example.com/v1")
TOKEN = "sk-9f8e7d6c5b4a39281706"


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Rotated secrets count from the next call on; also when a link is swapped, as Kubernetes does it."""
    first, second, link = tmp_path / "a", tmp_path / "b", tmp_path / "token"
    first.write_text("one-secret\n")
    second.write_text("two-secret\n")
    link.symlink_to(first)
    wallet, credential = Wallet(), Credential(file=str(link))
    assert wallet.header(credential, HERE, trusted=True) == ("authorization", "Bearer one-secret")
    (tmp_path / "new").symlink_to(second)
    (tmp_path / "new").replace(link)
    assert wallet.header(credential, HERE, trusted=True) == ("authorization", "Bearer two-secret")
    second.write_text("three-secret")
    assert wallet.header(credential, HERE, trusted=True)[1] == "Bearer three-secret"
    assert wallet.redacted("one-secret two-secret three-secret") == f"{HIDDEN} {HIDDEN} {HIDDEN}"


def test_the_environment_is_read_at_each_use() -> None:
    """Header and prefix are the credential's."""
    environment = {"KEY": "first-one"}
    wallet, credential = Wallet(environment), Credential(env="KEY", header="X-Api-Key", prefix="")
    assert wallet.header(credential, HERE, trusted=True) == ("x-api-key", "first-one")
    environment["KEY"] = "second-one"
    assert wallet.header(credential, HERE, trusted=True) == ("x-api-key", "second-one")


@pytest.mark.parametrize(
    "content", ["", "\n", "  \n", "two\nlines", "sch\u00f6n", "nul\x00byte", "a" * 70_000]
)
def test_what_no_header_can_carry_is_said_without_repeating_it(tmp_path: Path, content: str) -> None:
    """The message names the credential, not its content and not its path."""
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"endpoint.credential: openai") as caught:
        Wallet().header(Credential(file=str(path), name="openai"), HERE, trusted=True)
    assert str(path) not in str(caught.value)
    assert not content.strip() or content.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "credential",
    [
        Credential(file="/nowhere/token"),
        Credential(file="/"),
        Credential(env="NOT_SET"),
        Credential(),
        Credential(file="/nowhere/token", env="KEY"),
    ],
)
def test_a_secret_that_is_not_there_is_said(credential: Credential) -> None:
    """Missing file, a folder, no variable, neither, both."""
    with pytest.raises(InvalidRequest, match="cannot be read"):
        Wallet({"KEY": TOKEN}).header(credential, HERE, trusted=True)


@pytest.mark.parametrize(
    ("hosts", "trusted", "goes"),
    [
        ((), True, True),
        ((), False, False),
        (("api.example.com",), False, True),
        (("API.example.com",), False, True),
        (("*.example.com",), False, True),
        (("*.example.com",), True, True),
        (("example.com",), False, False),
        (("*.api.example.com",), False, False),
        (("other.example",), True, False),
    ],
)
def test_a_secret_goes_only_where_it_was_declared_for(
    hosts: tuple[str, ...], trusted: bool, goes: bool
) -> None:
    """A caller who names our credential and his own server gets nothing; nor does an operator who errs."""
    wallet, credential = Wallet({"KEY": TOKEN}), Credential(env="KEY", hosts=hosts)
    if goes:
        assert wallet.header(credential, HERE, trusted=trusted)[1].endswith(TOKEN)
        return
    with pytest.raises(InvalidRequest, match="may not be sent"):
        wallet.header(credential, HERE, trusted=trusted)


@given(st.text(max_size=60), st.text(min_size=1, max_size=30), st.text(max_size=60))
def test_no_long_piece_of_a_secret_survives(before: str, secret: str, after: str) -> None:
    """Whole, cut off at either end, or twice: no 8 characters of it in a row are left, stars aside."""
    for text in (before + secret + after, secret[2:] + after, before + secret[:-2], secret + secret):
        shown = redacted(text, [secret])
        window = min(WINDOW, len(secret))
        pieces = {secret[i : i + window] for i in range(len(secret) - window + 1)}
        assert not any(piece in part for part in shown.split(HIDDEN) for piece in pieces if "*" not in piece)


def test_other_text_is_left_alone() -> None:
    """Only what comes from the secret goes; also as a URL writes it."""
    assert redacted("the model m is not there", [TOKEN]) == "the model m is not there"
    assert redacted(f"key {TOKEN[:12]} is wrong", [TOKEN]) == f"key {HIDDEN} is wrong"
    assert redacted("?key=a%2Fb%3Dc&x=1", ["a/b=c"]) == f"?key={HIDDEN}&x=1"
    assert redacted("nothing known", []) == "nothing known"


def test_nothing_that_is_printed_by_accident_holds_a_secret() -> None:
    """Tracebacks with local variables, log lines with objects in them: the wallet, the way, its headers."""
    wallet = Wallet({"KEY": TOKEN})
    endpoint = Endpoint(
        "https://api.example.com/v1?key=of-the-url", credential=Credential(env="KEY"), trusted=True
    )
    way = carrier_to(endpoint, Dialler(), wallet).forwarding({"authorization": "Bearer of-the-caller"})
    sent = headers_of(endpoint, way.http.place, wallet, {}, way.forwarded)
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    for thing in (wallet, way.http.wallet, way.http.place, sent):
        assert not any(secret in repr(thing) for secret in (TOKEN, "of-the-url", "of-the-caller"))
    assert "of-the-caller" not in repr(way)
