"""`whybox check` on models whose gradients are right, wrong on purpose, or not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.models.graph import f32, model, node
from tests.models.nets import embedded, net

from whybox.cli import main

FLOAT = 1
Said = pytest.CaptureFixture[str]


def lines(said: str) -> dict[str, str]:
    """The mark of each check."""
    return {line.split()[1]: line.split()[0] for line in said.splitlines()}


def smooth(gradient_of: float) -> bytes:
    """y = tanh(x) w, and a declared gradient this many times too large."""
    nodes = [
        node("Tanh", "x", "t"),
        node("MatMul", "t w", "y"),
        node("Mul", "t t", "tt"),
        node("Sub", "scale tts", "slope"),
        node("Mul", "tt scale", "tts"),
        node("MatMul", "seed wt", "pulled"),
        node("Mul", "pulled slope", "g"),
    ]
    nodes[3], nodes[4] = nodes[4], nodes[3]
    w = f32([[1, -2], [0.5, 1], [2, 0.25]])
    return model(
        nodes,
        {"x": (FLOAT, ["n", 3]), "seed": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2]), "g": (FLOAT, ["n", 3])},
        {"w": w, "wt": w.T, "scale": f32(gradient_of)},
    )


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"modality": "tensor", "gradient": {"output": "g", "seed": "seed"}}))
    return file


def test_every_check_holds_for_a_network(tmp_path: Path, capsys: Said) -> None:
    """Convolution, ReLU, pooling; the operators on the way are counted."""
    weights = {
        "w": np.random.default_rng(0).normal(size=(4, 2, 3, 3)),
        "v": np.ones((4, 3)) * [1.0, -1.0, 0.5],
    }
    body = "c = Conv(x, w) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v)"
    onnx.save(net(body, {"x": ("n", 2, 8, 8)}, weights, dtype=np.float32), tmp_path / "m.onnx")
    assert main(["check", str(tmp_path / "m.onnx")]) == 0
    said = capsys.readouterr().out
    assert set(lines(said).values()) == {"ok"}
    assert lines(said).keys() == {"way", "forward", "differences", "completeness", "batches", "time"}
    assert "1 Conv, 1 Relu, 1 GlobalAveragePool, 1 Flatten, 1 MatMul" in said


@pytest.mark.parametrize(("times", "status"), [(1.0, 0), (1.02, 1)])
def test_a_gradient_that_is_two_percent_off_fails(
    tmp_path: Path, spec: Path, capsys: Said, times: float, status: int
) -> None:
    """The author's own gradient is checked like ours; a check that cannot fail would be none."""
    (tmp_path / "m.onnx").write_bytes(smooth(times))
    assert main(["check", str(tmp_path / "m.onnx"), "--spec", str(spec)]) == status
    assert lines(capsys.readouterr().out)["differences"] == ("ok" if times == 1 else "FAILED")


def test_paths_that_do_not_add_up_fail(tmp_path: Path, spec: Path, capsys: Said) -> None:
    (tmp_path / "m.onnx").write_bytes(smooth(2.0))
    assert main(["check", str(tmp_path / "m.onnx"), "--spec", str(spec)]) == 1
    assert lines(capsys.readouterr().out)["completeness"] == "FAILED"


def test_an_instance_can_be_given(tmp_path: Path, capsys: Said) -> None:
    """By itself or by input name; one that does not fit is wrong usage."""
    onnx.save(net("y = Tanh(x)", {"x": ("n", 3)}, {}, dtype=np.float32), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", f32([1, 2, 3]))
    np.savez(tmp_path / "x.npz", x=f32([1, 2, 3]))
    np.save(tmp_path / "wrong.npy", f32([1, 2]))
    for name in ("x.npy", "x.npz"):
        assert main(["check", str(tmp_path / "m.onnx"), "--data", str(tmp_path / name)]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path / "m.onnx"), "--data", str(tmp_path / "wrong.npy")]) != 0
    assert "float32 (3)" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "m.onnx"), "--data", str(tmp_path / "none.npy")]) == 2
    assert "--data" in capsys.readouterr().err


def test_a_model_of_words_is_checked_as_far_as_it_goes(tmp_path: Path, capsys: Said) -> None:
    """Whole numbers cannot be moved a little, and it says so."""
    onnx.save(embedded(np.float32), tmp_path / "m.onnx")
    assert main(["check", str(tmp_path / "m.onnx")]) == 0
    marks = lines(capsys.readouterr().out)
    assert (marks["way"], marks["differences"]) == ("ok", "-")


def test_a_model_without_a_way_back_fails_with_the_reason(tmp_path: Path, capsys: Said) -> None:
    onnx.save(net("y = Floor(x)", {"x": ("n", 3)}, {}, dtype=np.float32), tmp_path / "m.onnx")
    assert main(["check", str(tmp_path / "m.onnx")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("FAILED way back")
    assert "Floor" in said


def test_what_is_no_model_is_refused(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 40)
    assert main(["check", str(tmp_path / "m.onnx")]) == 1
    assert "MODEL_REJECTED" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "none.onnx")]) == 2


def test_a_light_installation_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    (tmp_path / "m.onnx").write_bytes(smooth(1.0))
    monkeypatch.setitem(sys.modules, "whybox_server.serving.onnx.load", None)
    assert main(["check", str(tmp_path / "m.onnx")]) == 2
    assert "pip install 'whybox[server]'" in capsys.readouterr().err
