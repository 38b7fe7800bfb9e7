"""Answers of every kind that is no attribution, small enough to be checked by eye."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whybox.tensors import to_tensor
from whybox.v1 import explanation_pb2 as pb
from whybox.v1 import spec_pb2

COLUMNS = ("age", "income", "city")
QUARTERS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.int32), 4, axis=0), 4, axis=1)  # (8, 8)
WORDS = ("so", " ", "very", " ", "good")
MOMENTS = 6


def answer(*labels: str) -> pb.Explanation:
    """An explanation of these targets, without a result."""
    message = pb.Explanation(complete=True)
    for index, label in enumerate(labels or ("yes",)):
        message.targets.add(
            index=index, label=label, score=2.5 - index, probability=0.75, space=pb.SCORE_SPACE_LOGIT
        )
    message.usage.rows_asked = message.usage.rows_unique = 85
    message.provenance.CopyFrom(pb.Provenance(model="models/m", method="m", method_version="1", seed=7))
    return message


def other(label: str = "no", score: float = 0.5) -> pb.Target:
    return pb.Target(
        index=int(label == "no"), label=label, score=score, probability=0.625, space=pb.SCORE_SPACE_LOGIT
    )


def table(message: pb.Explanation, units: pb.Units) -> None:
    units.CopyFrom(pb.Units(names=COLUMNS, instance_shape=[3], input="x"))
    units.segments.by_name["x"].CopyFrom(to_tensor(np.arange(3, dtype=np.int32), ""))
    message.subject.CopyFrom(row("41", "1200", "Bern"))


def row(*values: str) -> pb.Subject:
    return pb.Subject(modality=spec_pb2.MODALITY_TABULAR, table=pb.TableView(names=COLUMNS, values=values))


def photo(message: pb.Explanation, units: pb.Units) -> None:
    units.CopyFrom(pb.Units(names=[f"segment {i}" for i in range(4)], instance_shape=[1, 8, 8], input="x"))
    units.segments.by_name["x"].CopyFrom(to_tensor(QUARTERS[None], ""))
    message.subject.CopyFrom(grey(128))


def grey(level: int) -> pb.Subject:
    pixels = np.full((8, 8, 3), level, np.uint8)
    return pb.Subject(modality=spec_pb2.MODALITY_IMAGE, picture=to_tensor(pixels, ""))


def sentence(message: pb.Explanation, units: pb.Units) -> None:
    units.CopyFrom(pb.Units(names=WORDS[::2], input="x"))
    message.subject.CopyFrom(said(*WORDS))


def said(*pieces: str) -> pb.Subject:
    return pb.Subject(
        modality=spec_pb2.MODALITY_TEXT, text=pb.TextView(pieces=pieces, segments=[0, -1, 1, -1, 2])
    )


def series(message: pb.Explanation, units: pb.Units) -> None:
    """Channels first, as the model reads it; shown with time first."""
    units.CopyFrom(pb.Units(instance_shape=[2, MOMENTS], input="x"))
    message.subject.modality = spec_pb2.MODALITY_TIME_SERIES
    values = np.arange(2.0 * MOMENTS).reshape(MOMENTS, 2)
    message.subject.series.CopyFrom(pb.SeriesView(values=to_tensor(values, ""), channels=["a", "b"]))


Shown = Callable[[pb.Explanation, pb.Units], None]


def rule(show: Shown = table) -> pb.Explanation:
    """IF income > 1000 AND city = Bern THEN yes."""
    message = answer()
    show(message, message.rule.units)
    message.rule.MergeFrom(
        pb.Rule(
            precision=1.0,
            lower_bound=0.9375,
            confidence=0.9996,
            coverage=0.25,
            samples=1200,
            threshold=0.95,
            threshold_met=True,
            certificate="precision > 0.9 at confidence 0.9996",
        )
    )
    message.rule.predicates.add(text="income > 1000", segment=1, precision=0.75, coverage=0.5)
    message.rule.predicates.add(text="city = Bern", segment=2, precision=1.0, coverage=0.25)
    message.rule.examples.add(text="age = 50, income = 2000", agrees=True)
    message.rule.examples.add(text="age = 20, income = 1500", agrees=False)
    return message


def contrast_of_a_row() -> pb.Explanation:
    """Income is enough for yes; another city makes it no."""
    message = answer()
    table(message, message.contrast.units)
    _side(
        message, "pertinent_positive", [30.0, 1100.0, 1.0], other("yes", 1.5), [1], row("30", "1100", "Basel")
    )
    _side(message, "pertinent_negative", [41.0, 1200.0, 2.0], other(), [2], row("41", "1200", "Chur"))
    return message


def contrast_of_a_picture() -> pb.Explanation:
    """The first quarter is enough; a change of the last one makes it another."""
    message = answer()
    photo(message, message.contrast.units)
    _side(message, "pertinent_positive", np.full((1, 8, 8), 0.25), other("yes", 1.5), [0], grey(64))
    _side(message, "pertinent_negative", np.full((1, 8, 8), 0.75), other(), [3], grey(192))
    return message


def contrast_of_a_text() -> pb.Explanation:
    """One word is enough; nothing can be added to a text."""
    message = answer()
    sentence(message, message.contrast.units)
    left = said("", " ", "", " ", "good")
    _side(message, "pertinent_positive", np.array("  good", object), other("yes", 1.5), [2], left)
    message.contrast.negative_reason = "words are only taken away here"
    return message


def _side(
    message: pb.Explanation,
    side: str,
    values: object,
    target: pb.Target,
    segments: list[int],
    shown: pb.Subject,
) -> None:
    found = getattr(message.contrast, side)
    found.MergeFrom(pb.Counterpart(target=target, segments=segments, l1=1.5, l2=1.25, subject=shown))
    found.values.by_name["x"].CopyFrom(to_tensor(np.array(values), ""))


def regions(show: Shown = photo) -> pb.Explanation:
    """The last quarter, then the second one."""
    message = answer()
    show(message, message.regions.units)
    message.regions.MergeFrom(
        pb.Regions(segments=[3, 1], scores=[2.0, 2.5], empty_score=-1.0, guarantee="none: greedy")
    )
    return message


def mask(game: str = "preservation: the smallest region", show: Shown = photo) -> pb.Explanation:
    """Two targets: the left half keeps the first, the upper half the second; of a series the first moments."""
    message = answer("yes", "no")
    show(message, message.mask.units)
    del message.mask.units.names[:]
    message.mask.units.ClearField("segments")
    places = (MOMENTS,) if show is series else (8, 8)
    values = np.zeros((2, *places))
    values[0, ..., : places[-1] // 2] = 1.0
    values[1, : places[0] // 2] = 0.5
    message.mask.MergeFrom(
        pb.Mask(
            values=to_tensor(values, ""), game=game, masked_scores=[2.25, 1.25], hidden_scores=[-1.0, -2.0]
        )
    )
    return message


def flips() -> pb.Explanation:
    """Without income and city the answer is no; values in a unit of their own."""
    message = answer()
    units = pb.Units()
    table(message, units)
    found = message.attribution
    found.MergeFrom(pb.Attribution(names=units.names, segments=units.segments, instance_shape=[3], input="x"))
    found.values.CopyFrom(to_tensor(np.array([[0.25, 2.0, -0.5]]), ""))
    found.unit = "log2 odds"
    found.flip_set.CopyFrom(pb.FlipSet(segments=[1, 2], flipped=True, after=other()))
    return message


EVERY: dict[str, Callable[[], pb.Explanation]] = {
    "rule of a row": rule,
    "rule of a picture": lambda: rule(photo),
    "rule of a text": lambda: rule(sentence),
    "contrast of a row": contrast_of_a_row,
    "contrast of a picture": contrast_of_a_picture,
    "contrast of a text": contrast_of_a_text,
    "regions of a picture": regions,
    "mask of a picture": mask,
    "mask of a series": lambda: mask(show=series),
    "flip set of a row": flips,
}
