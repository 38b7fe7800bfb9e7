"""Gradients through an endpoint: the same server also serves the graph that `whybox differentiate` wrote.

It takes the rows and says of which score the gradient is wanted, as a seed; nothing else can be seen of
a model that runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported, ModelOutputInvalid
from whybox_server.core.probe import Pooled, Probe, Site
from whybox_server.core.rows import Array
from whybox_server.core.rows_probed import SEED
from whybox_server.core.spec import GradientOutput, ScoreKind
from whybox_server.core.target import TINY_PROBABILITY, Space
from whybox_server.serving.lane import ENDLESS, Answers, Patience, Slice
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Described, Exchange, RemoteProtocol
from whybox_server.serving.remote.runner import Asked, RemoteRunner, built

NO_GRAPH = "a model behind an endpoint shows no graph; give the ONNX file"


@dataclass(frozen=True, slots=True)
class RemoteInside:
    """Implements `core.probe.Inside`. of: the input that the served gradient is one of; model: who says it."""

    of: str
    shape: tuple[int, ...]
    model: str

    def site(self, probe: Probe) -> Site:
        """The input, and nothing but it."""
        if probe.rules != "gradient" or probe.options or probe.enters is not None:
            raise MethodUnsupported(f"by {probe.rules} rules no score can be led back: {NO_GRAPH}")
        if probe.at not in ("", self.of):
            raise InvalidRequest.of("at", f"gradients through this endpoint are those of {self.of!r} alone")
        return Site(
            self.of, self.shape, (self.of,), (f"gradients are what {self.model!r} of the same server says",)
        )

    def layers(self) -> tuple[Site, ...]:
        """None that could be seen."""
        return ()

    def pooled(self) -> Pooled:
        raise MethodUnsupported(f"the end of the network cannot be read: {NO_GRAPH}")


@dataclass(frozen=True, slots=True, eq=False)
class Seeded:
    """The protocol of the gradient's model: seeds go in under the name that they have there.

    mirrored: the server has one score, which speaks for two classes; it is the second one's.
    """

    protocol: RemoteProtocol
    seed: str
    mirrored: bool

    def describe(self, endpoint: Endpoint) -> Exchange[Described]:
        return self.protocol.describe(endpoint)

    def ask(self, endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
        return self.protocol.ask(endpoint, described, self._named(rows))

    def bytes_per_row(self, described: Described, rows: Mapping[str, Array]) -> int:
        return self.protocol.bytes_per_row(described, self._named(rows))

    def _named(self, rows: Mapping[str, Array]) -> dict[str, Array]:
        """Without the seed if the gradient takes none, having one score to be that of."""
        plain = {name: array for name, array in rows.items() if name != SEED}
        if not self.seed:
            return plain
        seeds = rows[SEED]
        return {**plain, self.seed: seeds[:, 1:] - seeds[:, :1] if self.mirrored else seeds}


class GradientRunner:
    """Implements `serving.lane.Runner`: scores from the model, gradients from the other one."""

    def __init__(
        self, scores: RemoteRunner, gradient: RemoteRunner, shape: tuple[int, ...], log_odds: Asked | None
    ) -> None:
        """shape: of the input, per row. log_odds: scores are probabilities, and their log-odds' slope is
        wanted, of the scores that the seeds in these rows mean.
        """
        self._scores, self._gradient, self._shape, self._log_odds = scores, gradient, shape, log_odds

    @property
    def replicas(self) -> int:
        return self._scores.replicas

    @property
    def most_rows(self) -> int:
        return min(self._scores.most_rows, self._gradient.most_rows)

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        """(n, outputs) and (n, *shape). Raises ModelOutputInvalid for a gradient of another size."""
        (scores,) = self._scores.run(slices, pad_to, patience)
        (flat,) = self._gradient.run(slices, pad_to, patience)
        if flat.shape[1] != int(np.prod(self._shape)):
            raise ModelOutputInvalid(
                f"the gradient has {flat.shape[1]} numbers a row where the input has {int(np.prod(self._shape))}; "
                "check spec.gradient"
            )
        if self._log_odds is not None:
            explained = (scores * built(self._log_odds, slices)[SEED]).sum(axis=1, keepdims=True)  # (n, 1)
            p = np.clip(explained, TINY_PROBABILITY, 1 - TINY_PROBABILITY)
            flat = flat / (p * (1 - p))
        return scores, flat.reshape(len(scores), *self._shape)


def explained_input(gradient: GradientOutput, inputs: Sequence[RowInfo]) -> str:
    """The input that a served gradient is one of. Raises InvalidRequest where it could be several."""
    real = [row.name for row in inputs if row.dtype.kind == "f"]
    if gradient.input in real:
        return gradient.input
    if gradient.input or len(real) != 1:
        known = ", ".join(real) or "none"
        raise InvalidRequest.of("spec.gradient.input", f"name an input of real numbers; there are {known}")
    return real[0]


def converts(kind: ScoreKind, space: Space | None) -> bool:
    """Whether slopes of probabilities are to become slopes of their log-odds. Raises MethodUnsupported."""
    if space is None or space.value == kind.value:
        return False
    if kind is ScoreKind.PROBABILITY and space is Space.LOGIT:
        return True
    raise MethodUnsupported(
        f"the served gradient is one of {kind.value}s and {space.value}s are to be explained; "
        f"set space to {kind.value}, or write the gradient with `whybox differentiate --of`"
    )
