"""Violations under the paths that the caller knows: a method's parameters are fields of its message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.methods.method import Method


@contextmanager
def paths_in_request(method: Method[Any, Any]) -> Iterator[None]:
    """What the method calls "k" is raised as "streak.k"; fields of the request itself stay as they are."""
    try:
        yield
    except InvalidRequest as error:
        own = {field.name for field in fields(method.params)}
        raise InvalidRequest([placed(one, method.name, own) for one in error.violations]) from error


def placed(violation: Violation, method: str, own: set[str]) -> Violation:
    """The violation, its field below the method's if the method has a parameter of that name."""
    name = violation.field.partition(".")[0].partition("[")[0]
    return Violation(f"{method}.{violation.field}", violation.description) if name in own else violation
