"""Gradients: forwards and back in onnxruntime against torch's autograd, on the same network and threads.

Ours and theirs take turns. Each turn begins with a pause and a run that is not timed: threads of either
library spin for a while after their work, and caches hold what the other one read. What counts is the
fastest run of each, since everything that disturbs a run makes it longer.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnxruntime as ort
from tests.benchmarks.row import Row, at_most

from whybox_server.graph.gradient import RESULT, SEED, differentiate

NETS = ("ResNet-18", "MobileNet v2", "ConvNeXt-tiny", "ViT-small")
BATCHES = (1, 8)
TURNS, RUNS, PAUSE_S = 4, 3, 0.2
SECONDS = {"ResNet-50": 3.0, "ViT-base": 10.0}
NEEDED = ("onnxscript", "torch", "torchvision")


def rows() -> list[Row]:
    if not all(map(importlib.util.find_spec, NEEDED)):
        return [Row("gradient: wall / torch autograd", "not installed (oracles extra)", "", kept=True)]
    import torch

    torch.set_num_threads(threads())
    compared = [line for name in NETS for line in compare(name)]
    ratios = [ratio for _, ratio, _ in compared]
    return [
        *(at_most(what, ratio, 1.0, note) for what, ratio, note in compared),
        at_most("    median", statistics.median(ratios), 0.85),
        *forward_share("ResNet-18"),
        *(
            at_most(f"differentiate and load {name}, s", ready(name)[1], must)
            for name, must in SECONDS.items()
        ),
    ]


def threads() -> int:
    return len(os.sched_getaffinity(0))


def session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads(), 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def ready(name: str) -> tuple[ort.InferenceSession, float]:
    """A session of the gradient, and how many seconds it took from the model in memory."""
    from tests.benchmarks import torch_nets

    model = onnx.load(torch_nets.exported(name))
    started = time.perf_counter()
    made = session(differentiate(model).SerializeToString())
    return made, time.perf_counter() - started


def compare(name: str) -> Iterator[tuple[str, float, str]]:
    """A line per batch size: what, ours over theirs, and both in milliseconds."""
    import torch
    from tests.benchmarks import torch_nets

    ours, net = ready(name)[0], torch_nets.network(name)
    for batch in BATCHES:
        feeds = questions(ours, batch)
        pictures, seed = (torch.from_numpy(array) for array in feeds.values())
        mine, theirs = in_turns(
            lambda: ours.run([RESULT], feeds),  # noqa: B023 - called at once
            lambda: torch_nets.gradient(net, pictures, seed),  # noqa: B023
        )
        note = f" ({1e3 * mine:.0f} / {1e3 * theirs:.0f} ms)"
        yield f"gradient, {name}, batch {batch}: wall / torch autograd", mine / theirs, note


def forward_share(name: str) -> Iterator[Row]:
    from tests.benchmarks import torch_nets

    ours, alone = ready(name)[0], session(torch_nets.exported(name).read_bytes())
    for batch in BATCHES:
        feeds = questions(ours, batch)
        pictures = {key: array for key, array in feeds.items() if key != SEED}
        both, forward = in_turns(lambda: ours.run([RESULT], feeds), lambda: alone.run(None, pictures))  # noqa: B023
        yield at_most(f"forward + gradient / forward, {name}, batch {batch}", both / forward, 3.0)


def questions(ours: ort.InferenceSession, batch: int) -> dict[str, np.ndarray]:
    """Pictures of noise, and a seed that asks for one class."""
    picture, seed = ours.get_inputs()
    shapes = [[batch, *entry.shape[1:]] for entry in (picture, seed)]
    one = np.zeros(shapes[1], np.float32)
    one[:, 3] = 1
    return {picture.name: np.random.default_rng(0).normal(size=shapes[0]).astype(np.float32), SEED: one}


def in_turns(*calls: Callable[[], object]) -> tuple[float, ...]:
    """The fastest run of each, in seconds."""
    fastest = [float("inf")] * len(calls)
    for _ in range(TURNS):
        for place, call in enumerate(calls):
            time.sleep(PAUSE_S)
            call()
            for _ in range(RUNS):
                started = time.perf_counter()
                call()
                fastest[place] = min(fastest[place], time.perf_counter() - started)
    return tuple(fastest)
