"""Prediction difference analysis and RISE on a photograph: time and memory against raw onnxruntime.

Quality stands beside speed: evidence of normal columns against its closed form. No installed peer runs
either method on ONNX models by default, so that there is none to compare with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil
from tests.answering import answering, instance_of
from tests.benchmarks import nets
from tests.benchmarks.raw import Raw, Setting
from tests.benchmarks.row import Row, at_most
from tests.benchmarks.speed import SPEC, against_raw, picture, raw_small, seeds
from tests.e2e.serving import running
from tests.oracles.prediction_difference import evidence_of_normal_columns

import whybox
from whybox_server.core.instance import Subject
from whybox_server.core.spec import Modality, ScoreKind, TabularSpec
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.prediction_difference import PREDICTION_DIFFERENCE, PredictionDifferenceParams
from whybox_server.perturb.removal import Sampler

PATCH, STRIDE, DRAWS = 10, 4, 10
WINDOWS = ((nets.SIDE - PATCH + STRIDE - 1) // STRIDE + 1) ** 2
SAMPLE = 2048  # rows by which raw onnxruntime is timed
MATERIALISED_GB = 278  # every row of stride 1 at once, in float32


def rows() -> list[Row]:
    return [*photograph(), *masks(), *closed_form()]


def typical() -> np.ndarray:
    """(16, 3, 224, 224): the photograph turned, mirrored and moved."""
    turned = [np.rot90(picture(), k, axes=(1, 2)) for k in range(4)]
    moved = [np.roll(one, shift, axis=(1, 2)) for one in turned for shift in ((0, 0), (70, 30))]
    return np.ascontiguousarray([*moved, *(one[:, :, ::-1] for one in moved)])


@contextmanager
def peak_of(process: psutil.Process) -> Iterator[list[int]]:
    """Resident bytes of a process: [at entry, the most while the context is open]."""
    found = [process.memory_info().rss] * 2
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            found[1] = max(found[1], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def raw_seconds(raw: Raw, count: int, settings: dict[str, Setting]) -> dict[str, float]:
    """Time for `count` rows, from a sample of them."""
    return {name: raw.seconds(SAMPLE, setting) * count / SAMPLE for name, setting in settings.items()}


def photograph() -> list[Row]:
    """One explanation of 55 x 55 patches, 10 draws each, beside raw calls just before and after."""
    model, raw, count = nets.small_cnn(), raw_small(), 1 + WINDOWS * DRAWS
    settings = raw.best(512)
    spec = whybox.ModelSpec.image(layout="CHW", background=typical())
    with running("--trust-uploads", models=None) as server, whybox.Client(server.address) as client:
        client.explain(model, picture(), "lime", num_samples=1000, seed=next(seeds), spec=spec)
        before = raw_seconds(raw, count, settings)
        with peak_of(psutil.Process(server.process.pid)) as memory:
            started = time.perf_counter()
            e = client.explain(
                model,
                picture(),
                "prediction_difference",
                sampler="conditional",
                patch=PATCH,
                stride=STRIDE,
                num_samples=DRAWS,
                seed=next(seeds),
                spec=spec,
                timeout=1800,
            )
            wall = time.perf_counter() - started
        after = raw_seconds(raw, count, settings)
    assert e.usage.rows_asked == count, e.usage
    ratios = {name: wall / ((before[name] + after[name]) / 2) for name in settings}
    return [
        *against_raw(f"prediction difference, 224x224, stride {STRIDE}, {count} rows", ratios, 1.5),
        at_most(
            "    extra memory, MB",
            (memory[1] - memory[0]) / 1e6,
            300,
            f" (materialised at stride 1: {MATERIALISED_GB} GB)",
            digits=0,
        ),
    ]


def masks() -> list[Row]:
    """RISE with 4000 masks on the photograph."""
    model, raw, count = nets.small_cnn(), raw_small(), 4001
    settings = raw.best(512)
    with running("--trust-uploads", models=None) as server, whybox.Client(server.address) as client:
        client.explain(model, picture(), "lime", num_samples=1000, seed=next(seeds), spec=SPEC)
        before = raw_seconds(raw, count, settings)
        with peak_of(psutil.Process(server.process.pid)) as memory:
            started = time.perf_counter()
            client.explain(model, picture(), "rise", seed=next(seeds), spec=SPEC, timeout=600)
            wall = time.perf_counter() - started
        after = raw_seconds(raw, count, settings)
    ratio = 2 * wall / (before["default threads"] + after["default threads"])
    return [
        Row("RISE, 4000 masks, small CNN: wall / raw", f"{ratio:.2f}", "", kept=True),
        at_most("    extra memory, MB", (memory[1] - memory[0]) / 1e6, 300, digits=0),
    ]


def closed_form() -> list[Row]:
    """Evidence of five normal columns with 500 draws against quadrature, mean of ten seeds."""
    rng = np.random.default_rng(0)
    covariance = 0.6 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    background = rng.multivariate_normal(np.zeros(5), covariance, 20_000)
    weights, x = np.array([2.0, -1.5, 1.0, 0.0, 1.5]), np.array([1.2, -0.8, -0.9, 1.0, 0.7])
    instance = instance_of(Modality.TABULAR, x, details=TabularSpec(background=background))
    targets = Targets((Choice(index=0),), ("yes", "no"), ScoreKind.PROBABILITY, Space.PROBABILITY)

    def answer(inputs: object) -> np.ndarray:
        p = 1 / (1 + np.exp(-inputs["x0"] @ weights))  # type: ignore[index]
        return np.stack([p, 1 - p], axis=1)

    found = []
    for sampler in Sampler:
        expected = evidence_of_normal_columns(
            weights, x, covariance, 100_000, conditional=sampler is Sampler.CONDITIONAL
        )
        params = PredictionDifferenceParams(sampler=sampler, num_samples=500)
        errors = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            task = PREDICTION_DIFFERENCE.prepare(Subject(instance, targets), params, rng)
            e = run(PREDICTION_DIFFERENCE.run(task, params, rng), answering(answer, instance))
            errors.append(np.linalg.norm(e.values[0] - expected) / np.linalg.norm(expected))
        what = f"prediction difference against quadrature, {sampler.value}, S = 500: relative error"
        found.append(at_most(what, float(np.mean(errors)), 0.05, digits=3))
    return found
