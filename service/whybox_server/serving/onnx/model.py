"""A loaded model: what it takes, what it says, and lanes for its rows.

`load.load` does everything that can go wrong; an `OnnxModel` that exists works. Models are known by
the digest of their bytes, and are never read from or written to a path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime as ort

from whybox_server.core.errors import ModelFailed
from whybox_server.core.probe import Probe
from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import BatchAxis, ModelSpec, ScoreKind
from whybox_server.core.target import Link, Space
from whybox_server.graph.cut import Cut
from whybox_server.serving.lane import Lane, Mode, Slice
from whybox_server.serving.model import INPUT, Bill, Served
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.fit import fit, fit_rows
from whybox_server.serving.onnx.inside import OnnxInside
from whybox_server.serving.onnx.own import own_outputs
from whybox_server.serving.onnx.resident import Resident
from whybox_server.serving.onnx.session import CPU, reason
from whybox_server.serving.onnx.signature import RowInfo, Signature, TensorInfo

FINGERPRINT_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class OnnxModel:
    """A model and what its tensors mean. Several may share one `resident` under different specs.

    digest: "sha256-<hex>" of the file. spec: complete; labels are empty only if the number of
    outputs depends on the instance. kind: what a runner's scores are, which is LOGIT where
    spec.score is PROBABILITY and the graph was cut. columns: scores per row, None if that depends
    on the instance. notes: what was cut, and why the model runs where it runs.
    """

    digest: str
    size_bytes: int
    signature: Signature
    outputs: tuple[TensorInfo, ...]
    spec: ModelSpec
    guesses: tuple[str, ...]
    notes: tuple[str, ...]
    kind: ScoreKind
    link: Link
    columns: int | None
    provider: str
    cut: Cut  # without its graph
    seen: meaning.Seen
    resident: Resident

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """As the graph declares them, batch axis included."""
        return self.signature.inputs

    @property
    def rows(self) -> tuple[RowInfo, ...]:
        """One row of each input."""
        return self.signature.row_infos

    @property
    def labels(self) -> tuple[str, ...]:
        return self.spec.labels

    @property
    def served(self) -> Served:
        """By nobody else."""
        return Served()

    @property
    def space(self) -> Space:
        """What a lane's scores hold."""
        return Space(self.kind.value)

    @property
    def labels_only(self) -> bool:
        """A graph has scores."""
        return False

    @property
    def most_rows(self) -> int:
        """Our own rows are counted by time alone."""
        return 0

    @property
    def unseen(self) -> bool:
        """A row was tried when it was loaded."""
        return False

    def settle(self, row: Mapping[str, Array], scores: Array) -> OnnxModel:
        """Nothing is left to find out."""
        return self

    def bill(self, rows: Sequence[int], lane: Lane, *, gradients: bool) -> Bill | None:
        """It costs nothing but time."""
        return None

    @property
    def libraries(self) -> Mapping[str, str]:
        """Versions on which answers depend."""
        return {"onnxruntime": ort.__version__, "numpy": np.__version__}

    def labels_for(self, inputs: Mapping[str, Array]) -> tuple[str, ...]:
        """One label per output for this instance; asks the model once if it must. Blocks.

        Raises ModelFailed if the model fails on the instance.
        """
        columns = self.columns
        if columns is None:
            columns = self._asked_columns(inputs)
        known = self.spec.labels
        return known if len(known) == columns else tuple(map(str, range(columns)))

    def fit(self, arrays: Mapping[str, Array], field: str) -> dict[str, Array]:
        """A caller's arrays as one instance in the model's dtypes; see `fit.fit`."""
        return fit(self.signature, arrays, field)

    def predict(self, inputs: Mapping[str, Array], field: str = "inputs") -> dict[str, Array]:
        """The model's own outputs for rows with a batch axis; a ZipMap's maps become an array. Blocks.

        Raises InputMismatch or InvalidRequest for inputs that do not fit, ModelFailed if it fails.
        """
        rows = fit_rows(self.signature, inputs, field)
        session = self.resident.session()
        try:
            return own_outputs(session, self.signature, rows)
        except Exception as error:
            raise ModelFailed(f"the model failed: {reason(error)}") from error

    def inside(self, inputs: Mapping[str, Array], outputs: int) -> OnnxInside:
        """What methods may look at inside the graph, for an instance with this many scores."""
        return OnnxInside(self.resident.whitebox, inputs, outputs)

    def refusal(self, rules: str, reads: str) -> str:
        """Why no score can be led back by these rules, or what a method reads is not there. Blocks."""
        whitebox = self.resident.whitebox
        return (whitebox.lacks(reads) if reads else "") or (whitebox.refusal(rules) if rules else "")

    def lane(
        self, want: Want, mode: Mode, inputs: Mapping[str, Array], probe: Probe = INPUT, outputs: int = 0
    ) -> Lane:
        """Where rows of instances shaped like this one (no batch axis) may share a model call.

        probe: of GRADIENT and VALUES; outputs: scores per row, for GRADIENT. Blocks while a graph is
        built that nobody has asked for so far; raises as `Inside.site` does.
        """
        shapes, ready = self._shapes(inputs), None
        if want is not Want.SCORES:
            inside = self.inside(inputs, outputs)
            probe = inside.placed(probe)
            ready = self.resident.whitebox.probed(want, probe)
            shapes |= inside.extra_shapes(ready, probe)
        execution = self.resident.execution
        runner = self.resident.runner(shapes, ready)
        most = min(execution.max_rows if ready is None else execution.max_probed_rows, runner.most_rows)
        # Calls of models with a fixed axis or none are all alike already.
        alike = self.signature.batch is not BatchAxis.DYNAMIC or mode is Mode.FAST
        fixed = None if alike else min(execution.reproducible_rows, most)
        fingerprint = self.fingerprint(want, mode, inputs, probe)
        answers = ("scores",) if ready is None else ready.fields
        return Lane(fingerprint, runner, max(most, self.signature.rows or 1), fixed, answers, runner.nodes)

    def fingerprint(self, want: Want, mode: Mode, inputs: Mapping[str, Array], probe: Probe = INPUT) -> bytes:
        """Equal for rows that may share a model call, and whose answers may stand for each other's.

        32 bytes over content, runtime, provider, cut, threads per call, row shapes, want, mode and probe.
        """
        execution = self.resident.execution
        said = [
            self.digest,
            ort.__version__,
            self.provider,
            self.resident.tensor,
            self.kind.value,
            self.columns,
            self.signature.batch.value,
            execution.threads,
            execution.reproducible_rows if mode is Mode.REPRODUCIBLE else 0,
            [[row.name, row.dtype.str, *self._shapes(inputs)[row.name]] for row in self.rows],
            want.value,
            mode.value,
            repr(probe) if want is not Want.SCORES else "",
            self.link.value,
        ]
        return hashlib.blake2b(json.dumps(said).encode(), digest_size=FINGERPRINT_BYTES).digest()

    def read_as(self, given: ModelSpec) -> OnnxModel:
        """The same sessions under another spec, of the same `execution_key` as the one it was loaded with.

        Raises InvalidRequest for a spec that does not fit the model.
        """
        meant = meaning.complete(given, self.signature, self.cut, self.seen)
        of_axis = tuple(guess for guess in self.guesses if guess.startswith("batch "))
        return replace(self, spec=meant.spec, guesses=meant.guesses + of_axis)

    def close(self) -> None:
        """Let go of sessions and buffers, under every spec; calls that are running still end."""
        self.resident.close()

    def _shapes(self, inputs: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        return {row.name: inputs[row.name].shape for row in self.rows}

    def _asked_columns(self, inputs: Mapping[str, Array]) -> int:
        rows = Samples({name: array[None] for name, array in inputs.items()})
        try:
            (scores,) = self.resident.runner(self._shapes(inputs)).run([Slice(rows, np.arange(1))], None)
        except Exception as error:
            raise ModelFailed(f"the model failed on the instance itself: {reason(error)}") from error
        return int(scores.shape[1])


def execution_key(spec: ModelSpec) -> tuple[object, ...]:
    """The part of a spec that decides how a model is run: specs with equal keys share a `resident`."""
    return (spec.output, spec.score, spec.batch, spec.gradient, len(spec.labels))


def replicas(provider: str, cores: int) -> int:
    """Threads that may call a session at once. A GPU has one stream per session: more would queue there.

    On the CPU single-threaded calls side by side were as fast as one call over all cores, or faster.
    """
    return cores if provider == CPU else 1
