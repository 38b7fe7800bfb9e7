"""An API of nobody's protocol: each path answers the same two scores of a row in another JSON.

/lists      {"rows": [[..]]} -> {"result": {"scores": [[..]]}}
/records    {"items": [{"age": .., ...}]} -> {"items": [{"score": ..}]}: the second score alone
/sorted     {"inputs": [..]} -> [[{"label": .., "score": ..}]], the larger first, as Hugging Face does
/one        {"row": [..]} -> {"probabilities": {"no": .., "yes": ..}}
/labels     {"rows": [[..]]} -> {"labels": [..]}
/texts      {"texts": [..], "model": ".."} -> {"scores": [length, ..]}
/columns    {"columns": {"a": [..], "word": [..]}} -> {"scores": [a + length of word, ..]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.remote.tfserving import LABELS, probabilities
from tests.remote.web import Request, Response, Web, web

NAMES = ("age", "income", "debt")


@contextmanager
def generic() -> Iterator[Web]:
    with web(answer) as server:
        yield server


def answer(request: Request) -> Response:
    try:
        return Response(200, ANSWERS[request.path](request.json))
    except (KeyError, TypeError, ValueError):
        return Response(422, {"detail": "this is not what the API takes"})


def lists(body: Any) -> Any:
    return {"result": {"scores": probabilities(body["rows"]).tolist()}, "took_ms": 3}


def records(body: Any) -> Any:
    rows = [[item[name] for name in NAMES] for item in body["items"]]
    return {"items": [{"score": score} for score in probabilities(rows)[:, 1].tolist()]}


def by_size(body: Any) -> Any:
    found = []
    for row in probabilities(body["inputs"]).tolist():
        pairs = sorted(zip(LABELS, row, strict=True), key=lambda pair: -pair[1])
        found.append([{"label": label, "score": score} for label, score in pairs])
    return found


def one(body: Any) -> Any:
    return {"probabilities": dict(zip(LABELS, probabilities([body["row"]])[0].tolist(), strict=True))}


def labels(body: Any) -> Any:
    return {"labels": [LABELS[at] for at in probabilities(body["rows"]).argmax(axis=1)]}


def texts(body: Any) -> Any:
    return {"scores": [len(text) for text in body["texts"]]}


def columns(body: Any) -> Any:
    found = body["columns"]
    return {"scores": [a + len(word) for a, word in zip(found["a"], found["word"], strict=True)]}


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "/lists": lists,
    "/records": records,
    "/sorted": by_size,
    "/one": one,
    "/labels": labels,
    "/texts": texts,
    "/columns": columns,
}
