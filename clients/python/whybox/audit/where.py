"""Which instances an audit is about, by what the model says of them: in JMESPath, as Clarify has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from whybox.errors import ExplainError, invalid

Wanted = Callable[[Mapping[str, Any]], bool]
# Their first part reads the answer, the rest what that has found.
INTO = frozenset(
    {
        "subexpression",
        "index_expression",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
        "pipe",
        "expref",
    }
)
KNOWN = frozenset({"label", "score", "probability", "row"})


def wanted(expression: str) -> Wanted:
    """Whether an answer ({"label", "score", "probability", "row"}) is meant.

    Raises ExplainError for what is no JMESPath, or reads what an answer does not have.
    """
    try:
        import jmespath  # noqa: PLC0415 - comes with the server, an optional extra
        from jmespath.exceptions import JMESPathError  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        message = "--where needs jmespath, which is not installed here"
        remedy = "install the server into this environment: pip install 'whybox[server]'"
        raise ExplainError(message, code="FAILED_PRECONDITION", reason="", remedy=remedy) from error
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        reason = " ".join(str(error).split())
        raise invalid("--where", f"{expression!r} is no JMESPath: {reason}") from error
    for name in roots(compiled.parsed):
        if name not in KNOWN:
            raise invalid("--where", f"an answer has no {name!r}, but {', '.join(sorted(KNOWN))}")

    def meant(answer: Mapping[str, Any]) -> bool:
        try:
            found = compiled.search(answer)
        except JMESPathError as error:
            raise invalid("--where", f"{expression!r} cannot be read from an answer: {error}") from error
        return truthy(found)

    return meant


def truthy(found: Any) -> bool:
    """JMESPath's own truth: 0 is a value, and what is empty is not."""
    return found is not None and found is not False and found not in ("", [], {})


def roots(node: Mapping[str, Any]) -> set[str]:
    """Names that an expression reads from the answer itself, not from something inside it."""
    if node["type"] == "field":
        return {node["value"]}
    children = node["children"][:1] if node["type"] in INTO else node["children"]
    return {name for child in children for name in roots(child)}
