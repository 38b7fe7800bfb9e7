"""What the engine knows of a model, wherever it runs: what it takes, what it says, lanes for its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from whybox_server.core.probe import Inside, Probe
from whybox_server.core.query import Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec, ScoreKind
from whybox_server.core.target import Link, Space
from whybox_server.serving.lane import Lane, Mode
from whybox_server.serving.onnx.signature import RowInfo

INPUT = Probe()


@dataclass(frozen=True, slots=True)
class Bill:
    """What asking rows takes. cost: in `currency`; None: no price is declared."""

    calls: int
    cost: float | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """By whom a model is served, for the record; all empty for one of our own.

    protocol: how it was spoken to. version: what it says it serves. determinism: what a probe found.
    """

    protocol: str = ""
    version: str = ""
    determinism: str = ""


class Model(Protocol):
    """A model that works, and what its tensors mean.

    digest: of its content, or of what is known of an endpoint. spec: complete; labels are empty only if
    the number of outputs is not known. kind: what a lane's scores are. provider: where it runs.
    most_rows: different rows that one explanation may ask at most; 0: no limit.
    unseen: what its scores are can only be said once a row is answered: see `settle`. space: units that are
    explained unless others are asked for. labels_only: its scores are 1 for the label it says and 0 else.
    """

    @property
    def digest(self) -> str: ...
    @property
    def spec(self) -> ModelSpec: ...
    @property
    def guesses(self) -> tuple[str, ...]: ...
    @property
    def kind(self) -> ScoreKind: ...
    @property
    def link(self) -> Link: ...
    @property
    def space(self) -> Space: ...
    @property
    def labels_only(self) -> bool: ...
    @property
    def provider(self) -> str: ...
    @property
    def rows(self) -> Sequence[RowInfo]: ...
    @property
    def libraries(self) -> Mapping[str, str]: ...
    @property
    def served(self) -> Served: ...
    @property
    def most_rows(self) -> int: ...
    @property
    def unseen(self) -> bool: ...

    def settle(self, row: Mapping[str, Array], scores: Array) -> Model:
        """The same model, now that a row's scores, (1, outputs), are known.

        Raises InvalidRequest for a spec that does not fit them.
        """
        ...

    def labels_for(self, inputs: Mapping[str, Array]) -> tuple[str, ...]:
        """One label per output for this instance. Blocks; raises ModelFailed if it must ask and that fails."""
        ...

    def fit(self, arrays: Mapping[str, Array], field: str) -> dict[str, Array]:
        """A caller's arrays as one instance; raises InputMismatch or InvalidRequest."""
        ...

    def inside(self, inputs: Mapping[str, Array], outputs: int) -> Inside | None:
        """What methods may look at inside, for an instance with this many scores; None: nothing."""
        ...

    def refusal(self, rules: str, reads: str) -> str:
        """Why no score can be led back by these rules, or what a method reads is not there; "": neither."""
        ...

    def predict(self, inputs: Mapping[str, Array], field: str = "inputs") -> dict[str, Array]:
        """The model's own outputs for rows with a batch axis. Blocks."""
        ...

    def lane(
        self, want: Want, mode: Mode, inputs: Mapping[str, Array], probe: Probe = INPUT, outputs: int = 0
    ) -> Lane:
        """Where rows shaped like this instance (no batch axis) may share a call. May block."""
        ...

    def bill(self, rows: Sequence[int], lane: Lane, *, gradients: bool) -> Bill | None:
        """What so many rows of each instance take, at best; None: nothing but time.

        gradients: of scores, and not scores alone.
        """
        ...
