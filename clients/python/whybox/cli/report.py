"""An error as one readable block: what, where, why, and what to do."""

from __future__ import annotations

from whybox.errors import ExplainError


def block(error: ExplainError) -> str:
    """Lines for stderr: the kind of error, each wrong field or the message, facts, remedy."""
    lines = [f"whybox: {error.reason or error.code}"]
    if error.violations:
        lines += [f"  {violation.field}: {violation.description}" for violation in error.violations]
    else:
        lines += [f"  {line}" for line in error.message.splitlines()]
    said = "\n".join(lines)
    lines += [f"  {key}: {value}" for key, value in sorted(error.details.items()) if value not in said]
    if error.remedy:
        lines.append(f"  remedy: {error.remedy}")
    if error.retry_after_s is not None:
        lines.append(f"  try again in {error.retry_after_s:.3g} s")
    return "\n".join(lines)
