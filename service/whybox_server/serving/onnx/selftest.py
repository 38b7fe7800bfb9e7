"""A model's gradients put to the test on the model itself: what `whybox check` prints.

Nothing here is told what the model computes. Its derivative is measured in double precision by
differences, and what is led back must agree; the axioms that gradients obey are checked besides.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.probe import Probe, Site
from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.rows_probed import Probed
from whybox_server.core.spec import BatchAxis, ImageSpec
from whybox_server.graph.double import doubled, evaluator, in_double
from whybox_server.graph.gradient.path import path
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.model import OnnxModel
from whybox_server.serving.onnx.runner import mirrored

POINTS, TRIES = 3, 12
STEP = 1e-7  # of the input's size: a larger one crosses kinks of a deep network
SMOOTH = 1e-3  # differences at two steps agree to this share, or there is a kink between them
TOLERANCE = 1e-3  # of |gradient| |direction|: float32 through a hundred layers
BATCH_TOLERANCE = 1e-4  # of the largest gradient: a runtime may sum in another order
NODES, POINTS_OF_PATH = 32, 4  # of the quadrature along a path: 4 pieces of 8
COMPLETE = 0.05  # of the score's difference: kinks leave that much with 32 points
SIDES = {1: 16, 2: 32, 3: 64}  # length of an axis that may have any, by rank
SLOW_S = 30.0  # one forward pass of the reference: then a single point must do


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. ok: None where it could not be decided."""

    name: str
    ok: bool | None
    said: str


def selftest(model: OnnxModel, row: Mapping[str, Array] | None, rng: np.random.Generator) -> Iterator[Check]:
    """Check after check, as they are done. row: an instance, without the batch axis; None: one is drawn.

    It ends early where nothing can be led back, with the reason.
    """
    given = drawn(model, rng) if row is None else model.fit(row, "instance")
    outputs = len(model.labels_for(given))
    inside = model.inside(given, outputs)
    try:
        site = inside.site(Probe())
    except MethodUnsupported as error:
        yield Check("way back", False, str(error))
        return
    yield Check("way back", True, way_back(model, site))
    yield Check("forward", True, "the graph says the same scores in the form in which it is differentiated")
    asking = Asking(model, site, given, outputs)
    yield from differences(asking, rng)
    if site.name in given:
        yield completeness(asking, rng)
    yield batches(asking, rng)
    yield seconds(asking)


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """A model, where it is differentiated, and an instance to begin with."""

    model: OnnxModel
    site: Site
    row: Mapping[str, Array]
    outputs: int

    def gradients(self, rows: Mapping[str, Array], columns: Array) -> dict[str, Array]:
        """Answers by field for rows (n, ...), each led back from its own column."""
        lane = self.model.lane(Want.GRADIENT, Mode.FAST, self.row, Probe(at=self.site.name), self.outputs)
        asked = Probed(Samples(rows), columns)
        said = lane.runner.run([Slice(asked, np.arange(len(asked)))], lane.fixed_rows)
        return dict(zip(lane.answers, said, strict=True))

    def one(self, row: Mapping[str, Array], column: int) -> dict[str, Array]:
        rows = {name: array[None] for name, array in row.items()}
        return self.gradients(rows, np.array([column]))


def way_back(model: OnnxModel, site: Site) -> str:
    """What gradients pass, counted."""
    seen = model.resident.whitebox.survey()
    way = path(seen.nodes, seen.facts, seen.scores, site.name, seen.opset)
    kinds = Counter(node.op_type for node in way.nodes)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    notes = "".join(f"; {note}" for note in site.notes)
    return f"to {site.name!r} through {len(way.nodes)} nodes, each with a rule: {listed}{notes}"


def drawn(model: OnnxModel, rng: np.random.Generator) -> dict[str, Array]:
    """An instance of numbers that the model may take. Raises MethodUnsupported for strings."""
    found: dict[str, Array] = {}
    for info in model.rows:
        shape = tuple(SIDES[min(len(info.shape), 3)] if n is None else n for n in info.shape)
        if info.dtype.kind == "f":
            details = model.spec.details
            ends = (details.black, details.white) if isinstance(details, ImageSpec) else (-1.0, 1.0)
            found[info.name] = rng.uniform(*ends, shape).astype(info.dtype)
        elif info.dtype.kind in "iub":
            found[info.name] = np.ones(shape, info.dtype)
        else:
            raise MethodUnsupported(f"input {info.name!r} holds strings; no gradient reaches it")
    return found


def differences(asking: Asking, rng: np.random.Generator) -> Iterator[Check]:
    """<v, J u> by central differences in float64 against <J'v, u> as it is led back, at random points."""
    name, column = asking.site.name, int(rng.integers(asking.outputs))
    if name not in asking.row:
        yield Check("differences", None, f"{name!r} is no input: rows of words cannot be moved a little")
        return
    graph = in_double(asking.model.resident.whitebox.graph())
    reference = evaluator(graph)
    gaps: list[float] = []
    points, started = POINTS, time.perf_counter()
    for _ in range(TRIES):
        if len(gaps) >= points:
            break
        row = moved(asking.row, name, rng)
        along = rng.normal(size=row[name].shape)
        try:
            slopes = [slope(asking, reference, row, along, column, step) for step in (STEP, STEP / 2)]
        except Exception as error:  # noqa: BLE001  the reference raises whatever numpy raises
            yield Check("differences", None, f"onnx's reference cannot run this graph: {str(error)[:120]}")
            return
        points = 1 if (time.perf_counter() - started) / (4 * len(gaps) + 4) > SLOW_S else points
        if abs(slopes[0] - slopes[1]) > SMOOTH * abs(slopes[1]):
            continue  # a kink lies between the two points
        led = asking.one(row, column)["gradient"][0].astype(np.float64)
        size = float(np.linalg.norm(led) * np.linalg.norm(along)) / np.sqrt(led.size)
        gaps.append(abs(float(np.vdot(led, along)) - slopes[1]) / max(size, abs(slopes[1]), 1e-30))
    if not gaps:
        yield Check(
            "differences", None, f"none of {TRIES} random points was free of kinks; give one with --data"
        )
        return
    yield Check(
        "differences",
        max(gaps) <= TOLERANCE,
        f"{len(gaps)} random points, float64: largest gap {max(gaps):.1e} of the gradient (allowed {TOLERANCE:.0e})",
    )


def moved(row: Mapping[str, Array], name: str, rng: np.random.Generator) -> dict[str, Array]:
    """The instance with one input a tenth of its size away."""
    array = row[name]
    size = float(np.abs(array).mean()) or 1.0
    return {**row, name: (array + 0.1 * size * rng.normal(size=array.shape)).astype(array.dtype)}


def slope(
    asking: Asking,
    reference: ReferenceEvaluator,
    row: Mapping[str, Array],
    along: Array,
    column: int,
    step: float,
) -> float:
    """Central difference of one score along a direction."""
    name = asking.site.name
    reach = step * (float(np.abs(row[name]).mean()) or 1.0)
    ends = [
        asked(asking.model, reference, doubled(row), name, sign * reach * along)[column] for sign in (1, -1)
    ]
    return float(ends[0] - ends[1]) / (2 * reach)


def asked(
    model: OnnxModel, reference: ReferenceEvaluator, row: dict[str, Array], name: str, step: Array
) -> Array:
    """Scores of a row in double precision, flat, mirrored as the runner does."""
    row = {**row, name: row[name] + step}
    batched = model.signature.batch is not BatchAxis.NONE
    rows = model.signature.rows or 1
    feeds = {key: np.repeat(array[None], rows, axis=0) if batched else array for key, array in row.items()}
    outputs: Any = reference.run([model.resident.tensor], feeds)
    said = np.asarray(outputs[0])
    scores = (said[0] if batched else said).reshape(1, -1).astype(np.float64)
    twin = model.columns == 2  # of a single column
    return np.asarray(mirrored(scores, model.kind if twin else None)[0])


def completeness(asking: Asking, rng: np.random.Generator) -> Check:
    """Gradients along a straight path add up to the score's difference (Sundararajan et al. 2017, axiom 5.1)."""
    name, column = asking.site.name, int(rng.integers(asking.outputs))
    here = asking.row[name].astype(np.float64)
    start = here + 0.5 * (float(np.abs(here).mean()) or 1.0) * rng.normal(size=here.shape)
    nodes, weights = np.polynomial.legendre.leggauss(NODES // POINTS_OF_PATH)
    alphas = np.concatenate([(at + (nodes + 1) / 2) / POINTS_OF_PATH for at in range(POINTS_OF_PATH)])
    shares = np.tile(weights / 2 / POINTS_OF_PATH, POINTS_OF_PATH)
    total = sum(
        share
        * float(np.vdot(asking.one(between(asking, start, here, alpha), column)["gradient"][0], here - start))
        for alpha, share in zip(alphas, shares, strict=True)
    )
    ends = [
        asking.one(between(asking, start, here, alpha), column)["scores"][0, column] for alpha in (1.0, 0.0)
    ]
    difference = float(ends[0] - ends[1])
    gap = float(abs(total - difference) / max(abs(difference), 1e-12))
    return Check(
        "completeness",
        gap <= COMPLETE,
        f"{NODES} gradients along a path add up to {total:.5g} of a difference of {difference:.5g}: gap {gap:.1e}",
    )


def between(asking: Asking, start: Array, end: Array, alpha: float) -> dict[str, Array]:
    name = asking.site.name
    point = start + alpha * (end - start)
    return {**asking.row, name: point.astype(asking.row[name].dtype)}


def batches(asking: Asking, rng: np.random.Generator) -> Check:
    """Rows led back together and one by one."""
    if asking.model.signature.batch is not BatchAxis.DYNAMIC:
        return Check("batches", True, f"one call has always {asking.model.signature.rows or 1} row(s)")
    float_inputs = [name for name, array in asking.row.items() if array.dtype.kind == "f"]
    if not float_inputs:
        return Check("batches", None, "the inputs are whole numbers, and no others are drawn")
    rows = [asking.row] + [moved(asking.row, float_inputs[0], rng) for _ in range(2)]
    columns = rng.integers(asking.outputs, size=len(rows))
    stacked = {name: np.stack([row[name] for row in rows]) for name in asking.row}
    together = asking.gradients(stacked, columns)["gradient"]
    alone = np.concatenate(
        [asking.one(row, int(c))["gradient"] for row, c in zip(rows, columns, strict=True)]
    )
    gap = float(np.abs(together - alone).max() / max(np.abs(alone).max(), 1e-30))
    return Check(
        "batches",
        gap <= BATCH_TOLERANCE,
        f"{len(rows)} rows together and one by one: gap {gap:.1e} of the largest",
    )


def seconds(asking: Asking) -> Check:
    """What a gradient costs."""
    lane = asking.model.lane(Want.SCORES, Mode.FAST, asking.row)
    rows = Samples({name: array[None] for name, array in asking.row.items()})
    plain = fastest(lambda: lane.runner.run([Slice(rows, np.arange(1))], None))
    led = fastest(lambda: asking.one(asking.row, 0))
    return Check(
        "time",
        True,
        f"scores {plain * 1e3:.3g} ms, with a gradient {led * 1e3:.3g} ms: {led / plain:.1f} times",
    )


def fastest(call: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of a few calls."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return min(found)
