"""What is explained: outputs of the model, in the units a reader asked for.

Default is the logit, because a saturated softmax hides the evidence. Which outputs are meant may
depend on what the model says of the instance ("the top three"), so a method first chooses, then
reads every row's scores through its choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind

TINY_PROBABILITY = 1e-7  # log-odds stay within +-16.1: about what float32 can tell from 0 and 1


class Space(Enum):
    """Units of a target's score."""

    LOGIT = "logit"
    PROBABILITY = "probability"
    VALUE = "value"


class Link(Enum):
    """How logits become probabilities."""

    SOFTMAX = "softmax"  # over the outputs
    SIGMOID = "sigmoid"  # each output for itself


@dataclass(frozen=True, slots=True)
class Choice:
    """Exactly one is set."""

    index: int | None = None
    label: str | None = None
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """Which outputs to explain, and how to read them. An empty choice is the highest score."""

    choices: tuple[Choice, ...]
    labels: tuple[str, ...]  # (outputs,)
    kind: ScoreKind
    space: Space
    link: Link = Link.SOFTMAX

    def choose(self, instance_scores: Array) -> Chosen:
        """Settle on outputs, knowing the instance's own scores, (outputs,).

        Raises InvalidRequest for an index, label or top-k that this model does not have.
        """
        default = Choice(index=0) if self.kind is ScoreKind.VALUE else Choice(top=1)
        found: list[int] = []
        for number, choice in enumerate(self.choices or (default,)):
            found += self._indices(choice, f"targets[{number}]", instance_scores)
        return Chosen(tuple(dict.fromkeys(found)), self)

    def _indices(self, choice: Choice, field: str, scores: Array) -> list[int]:
        outputs = len(scores)
        if choice.label is not None:
            if choice.label not in self.labels:
                known = ", ".join(self.labels[:20])
                raise InvalidRequest.of(field, f"no label {choice.label!r}; the model has {known}")
            return [self.labels.index(choice.label)]
        if choice.top is not None:
            if not 1 <= choice.top <= outputs:
                raise InvalidRequest.of(field, f"top must be in [1, {outputs}], got {choice.top}")
            return [int(i) for i in np.argsort(-scores, kind="stable")[: choice.top]]
        if choice.index is None or not 0 <= choice.index < outputs:
            raise InvalidRequest.of(field, f"must be in [0, {outputs - 1}], got {choice.index}")
        return [choice.index]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Outputs that are explained, in order, without repetition."""

    indices: tuple[int, ...]  # (t,)
    targets: Targets

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.targets.labels[i] for i in self.indices)

    def of(self, scores: Array) -> Array:
        """Scores of the targets, (n, t) float64 in `targets.space`, from the model's, (n, outputs)."""
        return self._read(scores, self.targets.space)

    def probabilities(self, scores: Array) -> Array | None:
        """(n, t), or None when the model's scores are no probabilities."""
        if self.targets.kind is ScoreKind.VALUE:
            return None
        return self._read(scores, Space.PROBABILITY)

    def _read(self, scores: Array, space: Space) -> Array:
        scores = np.asarray(scores, dtype=np.float64)
        kind, columns = self.targets.kind, list(self.indices)
        if kind is ScoreKind.VALUE or kind.value == space.value:
            return scores[:, columns]
        if space is Space.LOGIT:
            p = np.clip(scores[:, columns], TINY_PROBABILITY, 1 - TINY_PROBABILITY)
            return np.asarray(np.log(p / (1 - p)))
        if self.targets.link is Link.SIGMOID:
            return np.asarray(1 / (1 + np.exp(-scores[:, columns])))
        exp = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray((exp / exp.sum(axis=1, keepdims=True))[:, columns])
