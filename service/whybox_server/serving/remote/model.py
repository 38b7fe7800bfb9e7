"""A model behind an endpoint, as the engine sees it: the same interface as that of our own models.

What its tensors mean is declared, said by the server, or guessed as for an ONNX graph; what no metadata
says is settled by the first row that it answers. Where a row goes, `lanes` knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto

from whybox_server.core.probe import Inside, Probe
from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import BatchAxis, ModelSpec, ScoreKind
from whybox_server.core.target import Link, Space
from whybox_server.graph.cut import Cut
from whybox_server.serving.lane import ENDLESS, Lane, Mode, Patience, Slice
from whybox_server.serving.model import INPUT, Bill, Served
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.fit import fit, fit_rows
from whybox_server.serving.onnx.signature import RowInfo, Signature, TensorInfo
from whybox_server.serving.remote.endpoint import Price
from whybox_server.serving.remote.first import First
from whybox_server.serving.remote.inside import NO_GRAPH, RemoteInside, explained_input
from whybox_server.serving.remote.lanes import UNPINNED_TTL_S, Reading, lane_of, plain_runner
from whybox_server.serving.remote.session import Session, pinned

FIRST_ROW = "the first row that was asked"
PROVIDER = "endpoint"
BINARY = 2  # classes


@dataclass(frozen=True, slots=True, eq=False)
class RemoteModel:
    """Implements `serving.model.Model`. Several may share a `session` under different specs and headers.

    given: the spec as declared and asked for; meant: the same, completed by what was seen when it was read, which
    another caller's first answer does not change. headers: of the caller, as far as the endpoint passes them on.
    """

    session: Session
    given: ModelSpec
    meant: meaning.Meaning
    price: Price = Price()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    seen: meaning.Seen | None = None

    @property
    def digest(self) -> str:
        return self.session.digest

    @property
    def spec(self) -> ModelSpec:
        return self.meant.spec

    @property
    def kind(self) -> ScoreKind:
        return self.meant.kind

    @property
    def space(self) -> Space:
        """Log-odds of probabilities, since a saturated softmax hides the evidence."""
        return Space.LOGIT if self.kind is ScoreKind.PROBABILITY else Space(self.kind.value)

    @property
    def link(self) -> Link:
        return Link.SOFTMAX if self._mirror is None else Link.SIGMOID

    @property
    def provider(self) -> str:
        return PROVIDER

    @property
    def libraries(self) -> Mapping[str, str]:
        return {"numpy": np.__version__}

    @property
    def rows(self) -> Sequence[RowInfo]:
        return self.session.described.inputs

    @property
    def served(self) -> Served:
        described = self.session.described
        return Served(described.speech, described.version, self.session.findings.determinism)

    @property
    def most_rows(self) -> int:
        return self.session.endpoint.limits.rows_per_request

    @property
    def labels_only(self) -> bool:
        return self.session.described.labels_only

    @property
    def unseen(self) -> bool:
        """A declared kind of score and a known number of them leave nothing to find out."""
        known = self.session.described.columns or self._labelled
        return self.seen is None and not (known and self.given.score is not None)

    @property
    def guesses(self) -> tuple[str, ...]:
        meant = self.meant.guesses
        if self.unseen:
            meant = (
                "score: found out from the first row that is asked",
                *(g for g in meant if not g.startswith("score ")),
            )
        unpinned = (
            f"version: nobody says which one is served, so that answers are kept for {UNPINNED_TTL_S:.0f} s only; "
            "declare version or revision"
        )
        fixed = pinned(self.session.endpoint)
        return (*meant, *(() if fixed else (unpinned,)), *self.session.described.notes)

    def settle(self, row: Mapping[str, Array], scores: Array) -> RemoteModel:
        if self.session.seen is None:
            self.session.first = First(row, scores, self.headers)
            self.session.seen = meaning.seen(scores, FIRST_ROW, typical=True)
        return model_of(self.session, self.given, self.headers, self.price)

    def labels_for(self, inputs: Mapping[str, Array]) -> tuple[str, ...]:
        """Nothing is asked: until a row was answered, labels that nobody declared are not known."""
        return self.spec.labels or ("0",)

    def fit(self, arrays: Mapping[str, Array], field: str) -> dict[str, Array]:
        return fit(signature_of(self.session), arrays, field)

    def inside(self, inputs: Mapping[str, Array], outputs: int) -> Inside | None:
        """Gradients at an input, if the same server has a model that says them."""
        gradient = self.given.gradient
        if gradient is None or self.session.gradient is None:
            return None
        of = explained_input(gradient, self.rows)
        return RemoteInside(of, inputs[of].shape, self.session.endpoint.gradient_model)

    def refusal(self, rules: str, reads: str) -> str:
        if reads or rules not in ("", "gradient"):
            return f"it looks into the graph, and {NO_GRAPH}"
        if rules and self.session.gradient is None:
            return (
                "the endpoint declares no gradient_model that could say gradients; see `whybox differentiate`"
            )
        return ""

    def predict(
        self, inputs: Mapping[str, Array], field: str = "inputs", patience: Patience = ENDLESS
    ) -> dict[str, Array]:
        """What it says of rows, under the name of its output. Blocks."""
        rows = fit_rows(signature_of(self.session), inputs, field)
        count = len(next(iter(rows.values())))
        shapes = {name: array.shape[1:] for name, array in rows.items()}
        runner = plain_runner(self.session, Reading(self.headers, labels=self.spec.labels), shapes)
        (scores,) = runner.run([Slice(Samples(rows), np.arange(count))], None, patience)
        return {self.spec.output or "output": scores}

    def lane(
        self, want: Want, mode: Mode, inputs: Mapping[str, Array], probe: Probe = INPUT, outputs: int = 0
    ) -> Lane:
        """Raises MethodUnsupported for what cannot be had without the graph."""
        shapes = {row.name: inputs[row.name].shape for row in self.rows}
        reading = Reading(
            self.headers, self._columns, self.spec.labels, self._mirror, self.given.gradient, self.kind
        )
        return lane_of(self.session, reading, shapes, want, mode, probe, outputs)

    def bill(self, rows: Sequence[int], lane: Lane, *, gradients: bool) -> Bill:
        """As many calls as full ones take; the method's rounds may make more of them."""
        times = 2 if gradients else 1  # scores come from one model, gradients from the other
        calls = times * sum(math.ceil(count / lane.max_rows) for count in rows)
        price = self.price
        if not (price.per_call or price.per_row):
            return Bill(calls)
        return Bill(calls, calls * price.per_call + times * sum(rows) * price.per_row, price.currency)

    @property
    def _columns(self) -> int | None:
        """Scores of a row in the server's own words."""
        if self.seen is not None:
            return self.seen.columns
        return self.session.described.columns or self._labelled or None

    @property
    def _labelled(self) -> int:
        """Scores of a row as far as labels tell; 0: they do not, for two classes may share one score."""
        labels = len(self.given.labels)
        return 0 if labels == BINARY else labels

    @property
    def _mirror(self) -> ScoreKind | None:
        """What a single score is, if it speaks for two classes."""
        return self.meant.kind if self.meant.binary and self._columns == 1 else None


def model_of(session: Session, given: ModelSpec, headers: Mapping[str, str], price: Price) -> RemoteModel:
    """The model behind an open endpoint, read as the spec says. Raises InvalidRequest if that does not fit."""
    seen = session.seen
    known = seen or meaning.Seen(session.described.columns)
    meant = meaning.complete(given, signature_of(session), _as_declared(session), known)
    return RemoteModel(session, given, meant, price, headers, seen)


def signature_of(session: Session) -> Signature:
    """Inputs with an axis of rows in front, whether the server takes one or not: the runner sees to that."""
    infos = (TensorInfo(row.name, row.dtype, (None, *row.shape)) for row in session.described.inputs)
    return Signature(tuple(infos), BatchAxis.DYNAMIC)


def _as_declared(session: Session) -> Cut:
    """What a server says of its output, in the words that graphs are described in."""
    described = session.described
    said = ScoreKind.PROBABILITY if described.labels_only else None
    output = described.output
    return Cut(ModelProto(), output, output, said, said, Link.SOFTMAX, described.labels, "", changed=False)
