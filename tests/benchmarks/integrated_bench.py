"""Integrated gradients of networks of real size: wall time through the whole server against captum.

Both take 50 steps from black on all cores, captum with the better of its internal batches; its time
is autograd's alone, ours contains the request, the rows, the cache and the answer.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tests.benchmarks.gradient_bench import NETS, threads
from tests.benchmarks.row import Row, at_most

import whybox

STEPS = 50
INTERNAL_BATCHES = (5, 25)  # captum's default is all 50 at once, which is slower on a CPU
ROUNDS = 3
NEEDED = ("captum", "torch", "torchvision", "onnxscript")
LIMIT = 0.9
TARGET = 7
LARGEST_GAP = 1e-2  # between the two answers, relative: float32 takes some kinks for the other side


def rows() -> list[Row]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return [
            Row("integrated gradients: wall / captum", f"not installed: {', '.join(missing)}", "", kept=True)
        ]
    found = []
    for name in NETS:
        ratio, gap, batch = measured(name)
        what = f"integrated gradients, {STEPS} steps, {name}: wall / captum with {batch} a batch"
        kept = gap <= LARGEST_GAP
        found.append((ratio, Row(what, f"{ratio:.2f}, answers differ by {gap:.0e}", "", kept=kept)))
    median = statistics.median(ratio for ratio, _ in found)
    return [row for _, row in found] + [at_most("integrated gradients: median of these", median, LIMIT)]


def measured(name: str) -> tuple[float, float, int]:
    """Median ratio of pairs of runs on the same picture, the answers' largest distance relative to their length, and
    captum's better batch.
    """
    from tests.benchmarks.torch_nets import exported

    with served(exported(name)) as client:
        by_us(client, picture(0), steps=2)  # builds and loads the way back
        seconds = {batch: by_captum(name, picture(0), batch)[1] for batch in INTERNAL_BATCHES}
        batch = min(seconds, key=lambda one: seconds[one])
        ratios, gaps = [], []
        for number in range(1, 1 + ROUNDS):
            ours, our_seconds = by_us(client, picture(number), STEPS)
            theirs, their_seconds = by_captum(name, picture(number), batch)
            ratios.append(our_seconds / their_seconds)
            gaps.append(float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)))
    return statistics.median(ratios), max(gaps), batch


@contextmanager
def served(model: Path) -> Iterator[whybox.Client]:
    """A server in this process, with this model in its folder as "net"."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "net" / "1" / "model.onnx"
        place.parent.mkdir(parents=True)
        shutil.copyfile(model, place)
        with whybox.local(models=folder) as client:
            yield client


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).random((3, 224, 224), dtype=np.float32)


def by_us(client: whybox.Client, x: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
    spec = whybox.ModelSpec.image(layout="CHW", score="logit")
    started = time.perf_counter()
    found = client.explain(
        "models/net", x, "integrated_gradients", target=TARGET, spec=spec, steps=steps, baselines=0
    )
    return np.asarray(found.values), time.perf_counter() - started


def by_captum(name: str, x: np.ndarray, batch: int) -> tuple[np.ndarray, float]:
    import torch
    from captum.attr import IntegratedGradients
    from tests.benchmarks.torch_nets import network

    torch.set_num_threads(threads())
    explainer = IntegratedGradients(network(name))
    started = time.perf_counter()
    found = explainer.attribute(
        torch.from_numpy(x[None]), target=TARGET, n_steps=STEPS, internal_batch_size=batch
    )
    return found[0].detach().numpy(), time.perf_counter() - started
