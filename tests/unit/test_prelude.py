"""Rows built inside a graph; oracle: the same rows built by numpy, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto
from tests.models.graph import model, node

from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Masked, Part, Samples, Stacked, Windows
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.device_rows import open_device_rows
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.session import Execution, Provider

CPU = Execution(Provider.CPU)


def flow(rng: np.random.Generator, shapes: dict, dtypes: dict, segments: int, choices: int) -> Masked:
    """One explanation's rows: segments of random shapes, some of which are never hidden."""
    parts = []
    for name, shape in shapes.items():
        lengths = [length if rng.random() < 0.6 else 1 for length in shape]
        lengths = lengths[rng.integers(len(lengths) + 1) :]
        parts.append(
            Part(
                name,
                (rng.normal(size=shape) * 50).astype(dtypes[name]),
                (rng.normal(size=(choices, *shape)) * 50).astype(dtypes[name]),
                rng.integers(-1, segments, lengths).astype(np.int32),
            )
        )
    masks = rng.random((9, segments)) < 0.5
    return Masked(tuple(parts), masks, rng.integers(0, choices, 9) if choices > 1 else None)


def host(slices: list[Slice], shapes: dict, dtypes: dict) -> dict[str, Array]:
    count = sum(len(one.at) for one in slices)
    out = {name: np.empty((count, *shape), dtypes[name]) for name, shape in shapes.items()}
    start = 0
    for one in slices:
        one.rows.write(one.at, {name: array[start:] for name, array in out.items()})
        start += len(one.at)
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("seed", range(4))
def test_the_graph_builds_what_numpy_builds(dtype, seed):
    """Several explanations in one batch, with unlike segments, backgrounds and choices, and two inputs."""
    rng = np.random.default_rng(seed)
    shapes = {"a": (3, 4, 5), "b": (6,)}
    dtypes = {"a": np.dtype(dtype), "b": np.dtype(np.float32)}
    flows = [flow(rng, shapes, dtypes, segments, choices) for segments, choices in ((4, 1), (7, 3), (1, 2))]
    slices = [Slice(rows, rng.permutation(9)[: rng.integers(1, 9)]) for rows in (*flows, flows[0])]
    slices.append(Slice(Stacked((flows[1], flows[2])), np.array([0, 12, 3])))
    device = open_device_rows({name: len(shape) for name, shape in shapes.items()}, dtypes, CPU)
    assert device is not None
    wanted = host(slices, shapes, dtypes)
    count = len(wanted["a"])
    built = device.build(slices, count + 2)
    assert built is not None
    for name, array in wanted.items():
        rows = built[name].numpy()
        assert rows.dtype == array.dtype
        assert rows[:count].tobytes() == array.tobytes()
        assert rows[count].tobytes() == rows[count + 1].tobytes() == array[-1].tobytes()


def test_a_model_answers_alike_whichever_side_builds_the_rows():
    """Sum over each row, by IO binding and by host buffers; rows of another kind fall back to the host."""
    data = model(
        [node("ReduceSum", "x axes", "y", keepdims=0)],
        {"x": (TensorProto.FLOAT, ["n", 3, 4])},
        {"y": (TensorProto.FLOAT, ["n"])},
        {"axes": np.array([1, 2])},
    )
    shapes, dtypes = {"x": (3, 4)}, {"x": np.dtype(np.float32)}
    masked = flow(np.random.default_rng(0), shapes, dtypes, 5, 2)
    instance = masked.parts[0].instance
    windows = Windows("x", instance, np.zeros_like(instance), np.array([[0, 0]]), np.array([[2, 2]]), {})
    mixed = [Slice(masked, np.arange(9)), Slice(windows, np.arange(1))]
    for slices in (
        [Slice(masked, np.arange(9))],
        mixed,
        [Slice(Samples({"x": instance[None]}), np.arange(1))],
    ):
        said = [
            load(data, execution=replace(CPU, device_rows=on))
            .lane(Want.SCORES, Mode.FAST, {"x": instance})
            .runner.run(slices, 16)[0]
            for on in (True, False)
        ]
        assert said[0].tobytes() == said[1].tobytes()
        np.testing.assert_allclose(
            said[0][:, 0], host(slices, shapes, dtypes)["x"].sum(axis=(1, 2)), rtol=1e-4
        )


def test_strings_are_left_to_the_host():
    """No device holds them."""
    assert open_device_rows({"t": 1}, {"t": np.dtype(object)}, CPU) is None
