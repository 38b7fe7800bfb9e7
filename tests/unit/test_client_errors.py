"""Errors keep what a program needs and say what a person needs."""

from __future__ import annotations

import pickle
from typing import Any

import grpc
import pytest

import whybox
from whybox import ExplainError
from whybox.cli.report import block
from whybox.errors import REMEDIES, STATUS_KEY, Violation, from_rpc, near


class Failed:
    """What a call leaves behind when no whybox server answered."""

    def __init__(self, code: grpc.StatusCode, details: str | None, metadata: Any = None) -> None:
        self._parts = (code, details, metadata)

    def code(self) -> grpc.StatusCode:
        return self._parts[0]

    def details(self) -> str | None:
        return self._parts[1]

    def trailing_metadata(self) -> Any:
        return self._parts[2]


@pytest.mark.parametrize("code", [grpc.StatusCode[name] for name in REMEDIES])
def test_an_error_of_the_transport_has_a_remedy_and_an_address(code: grpc.StatusCode) -> None:
    """No reason, because no whybox server gave one."""
    error = from_rpc(Failed(code, "said by gRPC"), "host:1")
    assert error.reason == ""
    assert str(error).startswith("host:1: said by gRPC")
    assert REMEDIES[code.name] in str(error)


@pytest.mark.parametrize("metadata", [None, [(STATUS_KEY, b"\xff\xff")], [("other", "x")]])
def test_damaged_details_do_not_hide_the_error(metadata: Any) -> None:
    """Code and message of the call remain."""
    error = from_rpc(Failed(grpc.StatusCode.INTERNAL, None, metadata), "host:1")
    assert error.code == "INTERNAL"
    assert "no reason was given" in str(error)


def test_an_error_can_cross_a_process_border() -> None:
    """pickle keeps everything: multiprocessing sends exceptions."""
    error = ExplainError(
        "m",
        code="C",
        reason="R",
        details={"a": "b"},
        violations=[Violation("f", "d")],
        retry_after_s=1,
        remote=True,
    )
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert {**vars(back)} == {**vars(error)}
    assert str(back) == str(error)


def test_near_names_come_before_all_names() -> None:
    """A slip gets a suggestion, a stranger gets the list."""
    assert near("lim", ["lime", "occlusion"]) == "did you mean lime?"
    assert near("zzz", ["lime", "occlusion"]) == "there are lime, occlusion"
    assert near("zzz", []) == "there are none"


def test_the_block_of_the_command_line_names_field_cause_and_remedy() -> None:
    """One line each; facts that the message has said already are not repeated."""
    error = ExplainError(
        "models/nope is unknown",
        code="NOT_FOUND",
        reason="UNKNOWN_MODEL",
        details={"model": "models/nope", "near": "models/note"},
        remedy="look again",
        retry_after_s=2.0,
    )
    assert block(error).splitlines() == [
        "whybox: UNKNOWN_MODEL",
        "  models/nope is unknown",
        "  near: models/note",
        "  remedy: look again",
        "  try again in 2 s",
    ]


def test_the_package_offers_what_its_table_of_contents_says() -> None:
    """And nothing that is not there."""
    assert {name for name in whybox.__all__ if getattr(whybox, name) is not None} == set(whybox.__all__)
    assert set(dir(whybox)) == set(whybox.__all__)
    assert callable(whybox.local)
    with pytest.raises(AttributeError, match="nothing"):
        _ = whybox.nothing  # type: ignore[attr-defined]
