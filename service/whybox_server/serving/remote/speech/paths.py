"""Scores and labels out of replies of any shape, by declared JMESPaths. A path selects; it runs nothing."""

from __future__ import annotations

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, ParseError

from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import JsonMapping
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.speech.json_text import kind_of
from whybox_server.serving.remote.speech.row_values import single, texts
from whybox_server.serving.remote.speech.scores import Reading, by_label, labels_of, numbers_of, scores_of

LONGEST_SHOWN = 80  # characters of a path in a message


def path_fault(path: str) -> str:
    """What is wrong with a JMESPath; "" if nothing is, or if there is none."""
    try:
        if path:
            jmespath.compile(path)
    except ParseError as error:
        return f"is no JMESPath from character {error.lex_position} on; see jmespath.org"
    except (JMESPathError, RecursionError):
        return "is no JMESPath; see jmespath.org"
    return ""


def read(mapping: JsonMapping, reply: Any, n: int, described: Described) -> Array:
    """(n, outputs) scores of a reply, or (n, 1) labels as objects. Raises ModelOutputInvalid."""
    scores, labels = (reading(name, mapping, described) for name in ("scores", "labels"))
    if not mapping.labels:
        return scores_of(_found("scores", mapping, reply, scores), n, scores)
    said = _found("labels", mapping, reply, labels)
    if not mapping.scores_path:
        return texts(labels_of(said, n, labels))
    numbers = _found("scores", mapping, reply, scores)
    return _beside(_lists(numbers, n, scores), _lists(said, n, labels), scores, labels)


def reading(name: str, mapping: JsonMapping, described: Described) -> Reading:
    """How the path `name` of a mapping is read, and told of."""
    return Reading(
        f"`{_path(name, mapping)[:LONGEST_SHOWN]}`",
        f"correct json.{name}",
        described.labels,
        described.output,
    )


def _path(name: str, mapping: JsonMapping) -> str:
    return mapping.scores_path if name == "scores" else mapping.labels


def _found(name: str, mapping: JsonMapping, reply: Any, at: Reading) -> Any:
    """What the path `name` finds, as a list of rows."""
    try:
        found = jmespath.search(_path(name, mapping), reply)
    except JMESPathError as error:
        raise at.refuse(f"does not fit the reply, which is {kind_of(reply)}") from error
    if found is None:
        raise at.refuse(f"finds nothing; the reply is {kind_of(reply)}")
    return single(found) if mapping.one_row_per_call else found


def _lists(found: Any, n: int, at: Reading) -> list[list[Any]]:
    if not isinstance(found, list) or len(found) != n:
        raise at.refuse(f"is {kind_of(found)}, not a list of {n} rows")
    for number, row in enumerate(found):
        if not isinstance(row, list):
            raise at.refuse(f"is {kind_of(row)}, not a list with an entry for every score", f"[{number}]")
    return found


def _beside(numbers: list[list[Any]], words: list[list[Any]], scores: Reading, labels: Reading) -> Array:
    """Scores that stand beside their labels, in the declared order: many servers sort them by size."""
    rows = []
    for at, (row, names) in enumerate(zip(numbers, words, strict=True)):
        if len(row) != len(names):
            raise scores.refuse(f"has {len(row)} scores beside {len(names)} labels", f"[{at}]")
        rows.append(by_label(at, dict(zip(labels_of(names, len(names), labels), row, strict=True)), scores))
    return numbers_of(rows, scores)
