"""What a server's scores must be before anybody believes them: as many rows as were asked, of one shape.

Which rows hold NaN or infinities is looked at where the rows are known: see `serving.batch.call`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array

MOST_NAMES_SHOWN = 5
LONGEST_NAME = 40


def checked(answer: Array, rows: int, columns: int | None, labels: Sequence[str] = ()) -> Array:
    """Scores, (rows, outputs), float32 if they came as such, else float64, so that all calls are alike.

    columns: how many scores a row has, None if nobody said. Labels in place of scores become 1 for the
    label that was said and 0 for the others of `labels`. Raises ModelOutputInvalid.
    """
    if answer.ndim == 0 or len(answer) != rows:
        came = f"{len(answer)} rows" if answer.ndim else "a single value"
        raise ModelOutputInvalid(f"the endpoint was asked for {rows} rows and answered with {came}")
    flat = answer.reshape(rows, -1)
    if flat.dtype.kind in "OSUT":
        return one_hot(flat, labels)
    if flat.dtype.kind not in "biuf":
        raise ModelOutputInvalid(f"the endpoint answered with {flat.dtype.name} where scores are numbers")
    if not flat.shape[1] or (columns is not None and flat.shape[1] != columns):
        said = "at least one score" if columns is None else f"{columns} scores"
        raise ModelOutputInvalid(
            f"the endpoint answered with {flat.shape[1]} scores a row where it has {said}; "
            "check the declared output and labels"
        )
    return flat if flat.dtype == np.float32 else flat.astype(np.float64)


def one_hot(said: Array, labels: Sequence[str]) -> Array:
    """(rows, len(labels)) of 0.0 and 1.0, for (rows, 1) of labels."""
    if said.shape[1] != 1:
        raise ModelOutputInvalid(f"the endpoint answered with {said.shape[1]} texts a row, neither scores nor a label")
    if not labels:
        raise ModelOutputInvalid(
            "the endpoint answered with labels in place of scores; declare all labels that it may say in "
            "spec.labels, or an output that holds scores"
        )
    place = {label: column for column, label in enumerate(labels)}
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in said[:, 0]]
    unknown = sorted({word for word in words if word not in place})
    if unknown:
        shown = ", ".join(repr(word[:LONGEST_NAME]) for word in unknown[:MOST_NAMES_SHOWN])
        raise ModelOutputInvalid(f"the endpoint answered with labels that spec.labels does not have: {shown}")
    scores = np.zeros((len(words), len(labels)))
    scores[np.arange(len(words)), [place[word] for word in words]] = 1.0
    return scores
