"""Whole calls over gRPC against raw onnxruntime on as many rows of the same model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image
from tests.benchmarks import nets
from tests.benchmarks.raw import Raw, Setting, masked_rows
from tests.benchmarks.row import Row, at_least, at_most
from tests.e2e.serving import running

import whybox

PICTURE = Path(__file__).parents[1] / "demo" / "inputs" / "brick_and_grass.png"
REPEATS = 5
SPEC = whybox.ModelSpec.image(layout="CHW")
seeds = count(1)  # every call asks new rows, so that the cache answers none of them


@cache
def picture() -> np.ndarray:
    """(3, 224, 224) float32 in [0, 1]."""
    image = Image.open(PICTURE).convert("RGB").resize((nets.SIDE, nets.SIDE))
    return (np.asarray(image, np.float32) / 255).transpose(2, 0, 1).copy()


@cache
def raw_small() -> Raw:
    return Raw(nets.small_cnn(), np.stack(list(masked_rows(picture(), 64))))


@contextmanager
def warm(model: bytes) -> Iterator[whybox.Client]:
    """A server that has the model loaded and has learnt its batch size, and whose cache holds nothing of ours."""
    with running("--trust-uploads", models=None) as server, whybox.Client(server.address) as client:
        client.explain(model, picture(), "lime", num_samples=300, seed=10**6, spec=SPEC)
        yield client


def ratio(
    call: Callable[[], object], raw: Raw, rows: int, settings: dict[str, Setting], repeats: int = REPEATS
) -> dict[str, float]:
    """Median of wall / raw, measured alternately so that a slow moment hits both."""
    ratios: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(repeats):
        before = {name: raw.seconds(rows, setting) for name, setting in settings.items()}
        started = time.perf_counter()
        call()
        wall = time.perf_counter() - started
        after = {name: raw.seconds(rows, setting) for name, setting in settings.items()}
        for name in settings:
            ratios[name].append(wall / ((before[name] + after[name]) / 2))
    return {name: statistics.median(values) for name, values in ratios.items()}


def against_raw(what: str, ratios: dict[str, float], limit: float) -> list[Row]:
    """The issue's row is against onnxruntime as it comes; the stricter one stands below it."""
    default, per_core = ratios["default threads"], ratios["a call per core"]
    return [
        at_most(f"{what}: wall / raw", default, limit, " (raw: default threads, best batch)"),
        Row("    against raw with a call per core", f"{per_core:.2f}", "", kept=True),
    ]


def lime_small() -> list[Row]:
    model, raw = nets.small_cnn(), raw_small()
    settings = raw.best(512)
    with warm(model) as client:
        ratios = ratio(
            lambda: client.explain(model, picture(), "lime", num_samples=1000, seed=next(seeds), spec=SPEC),
            raw,
            1000,
            settings,
        )
    return against_raw("LIME, 1000 rows, small CNN", ratios, 1.35)


def occlusion_small() -> list[Row]:
    """A window of 32 at stride 8: 1 + 25 * 25 = 626 rows, each call on another picture."""
    model, raw = nets.small_cnn(), raw_small()
    settings = raw.best(512)
    rng = np.random.default_rng(7)
    with warm(model) as client:

        def call() -> None:
            other = np.clip(picture() + rng.normal(0, 0.01, picture().shape), 0, 1).astype(np.float32)
            e = client.explain(model, other, "occlusion", window=32, stride=8, spec=SPEC)
            assert e.usage.rows_asked == 626, e.usage
            assert e.usage.rows_cached == 0

        ratios = ratio(call, raw, 626, settings)
    return against_raw("occlusion, 626 rows, small CNN", ratios, 1.25)


def lime_resnet() -> list[Row]:
    model = nets.resnet50()
    raw = Raw(model, np.stack(list(masked_rows(picture(), 16))))
    settings = raw.best(32, batches=(1, 2, 4, 8, 16))
    with warm_resnet(model) as client:
        ratios = ratio(
            lambda: client.explain(model, picture(), "lime", num_samples=200, seed=next(seeds), spec=SPEC),
            raw,
            200,
            settings,
            repeats=3,
        )
    return against_raw("LIME, 200 rows, ResNet-50-sized", ratios, 1.08)


@contextmanager
def warm_resnet(model: bytes) -> Iterator[whybox.Client]:
    with running("--trust-uploads", models=None) as server, whybox.Client(server.address) as client:
        client.explain(model, picture(), "lime", num_samples=60, seed=10**6, spec=SPEC)
        yield client


def concurrent() -> list[Row]:
    model, raw, calls, rows = nets.small_cnn(), raw_small(), 8, 500
    settings = raw.best(512)
    shares: dict[str, list[float]] = {name: [] for name in settings}
    with warm(model) as client, ThreadPoolExecutor(calls) as pool:

        def one(seed: int) -> None:
            e = client.explain(model, picture(), "lime", num_samples=rows, seed=seed, spec=SPEC)
            # One row, the instance itself, is the same in every call.
            assert e.usage.rows_sent >= rows - 5

        for _ in range(3):
            best = {name: raw.seconds(1000, setting) / 1000 for name, setting in settings.items()}
            started = time.perf_counter()
            list(pool.map(one, [next(seeds) for _ in range(calls)]))
            wall = time.perf_counter() - started
            for name in settings:
                shares[name].append(calls * rows * best[name] / wall)
    default, per_core = (statistics.median(shares[name]) for name in ("default threads", "a call per core"))
    return [
        at_least("8 LIME calls at once: rows/s / raw", default, 0.85, " (raw: default threads, best batch)"),
        Row("    against raw with a call per core", f"{per_core:.2f}", "", kept=True),
    ]


def cached() -> list[Row]:
    model = nets.small_cnn()
    speedups, sent = [], 0
    with warm(model) as client:
        for seed in (next(seeds) for _ in range(5)):

            def call(seed: int = seed) -> whybox.Explanation:
                return client.explain(model, picture(), "lime", num_samples=1000, seed=seed, spec=SPEC)

            started = time.perf_counter()
            call()
            first = time.perf_counter() - started
            started = time.perf_counter()
            sent += call().usage.rows_sent
            speedups.append(first / (time.perf_counter() - started))
    return [
        at_least("the same call again, cached: speed-up", statistics.median(speedups), 10, digits=1),
        Row("    rows sent to the model", str(sent), "0", sent == 0),
    ]
