"""Bad input is refused with field, cause and remedy; the server goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.e2e.serving import INPUTS

import whybox

PICTURE = np.zeros((3, 224, 224), np.float32)


def tiny(nodes: list[Any], initializers: list[Any] = [], length: int = 4, out: str = "y") -> bytes:  # noqa: B006
    """A model of float32 rows of `length`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", length])
    y = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "tiny", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def always_nan() -> bytes:
    """log(-|x| - 1) is NaN for every row."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Sub", ["b", "one"], ["c"]),
        helper.make_node("Log", ["c"], ["y"]),
    ]
    return tiny(nodes, [one])


def too_few_rows() -> bytes:
    """Forgets the first row of every call."""
    ends = [helper.make_tensor(name, TensorProto.INT64, [1], [at]) for name, at in (("one", 1), ("end", 2**31 - 1))]
    return tiny([helper.make_node("Slice", ["x", "one", "end"], ["y"])], ends)


def raises_for_some_rows() -> bytes:
    """Looks up row 0 or 1 of a table by the first column, rounded: anything else is out of bounds."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [2, 1], [1.0, 2.0])
    zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Slice", ["whole", "zero", "one", "one"], ["column"]),
        helper.make_node("Squeeze", ["column", "one"], ["at"]),
        helper.make_node("Gather", ["table", "at"], ["y"]),
    ]
    return tiny(nodes, [table, zero, one])


def huge_claim() -> bytes:
    """A 2 GB tensor declared in less than a kilobyte."""
    claim = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[512, 1024, 1024], raw_data=b"\0" * 16)
    return tiny([helper.make_node("Mul", ["x", "w"], ["y"])], [claim])


def call(client: whybox.Client, **changed: Any) -> Callable[[], object]:
    base: dict[str, Any] = {"model": "models/texture", "inputs": PICTURE, "method": "lime"}
    given = {**base, **({} if changed.get("method") else {"num_samples": 20}), **changed}
    return lambda: client.explain(given.pop("model"), given.pop("inputs"), given.pop("method"), **given)


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong shape": ({"inputs": np.zeros((3, 10, 10), np.float32)}, "INPUT_SIGNATURE_MISMATCH", "224"),
    "wrong rank": ({"inputs": np.zeros(7, np.float32)}, "INPUT_SIGNATURE_MISMATCH", "224"),
    "strings for numbers": ({"inputs": np.array(["a", "b"])}, "INPUT_SIGNATURE_MISMATCH", "float"),
    "NaN in the instance": ({"inputs": np.full((3, 224, 224), np.nan, np.float32)}, "INVALID_FIELD", "instances[0]"),
    "unknown input": ({"inputs": {"pictur": PICTURE}}, "INVALID_FIELD|INPUT_SIGNATURE_MISMATCH", "pictur"),
    "unknown model": ({"model": "models/textur"}, "UNKNOWN_MODEL", "texture"),
    "unknown method": ({"method": "lyme"}, "INVALID_FIELD", "lime"),
    "unknown parameter": ({"num_sample": 3}, "INVALID_FIELD", "num_samples"),
    "parameter out of bounds": ({"num_samples": 1}, "INVALID_FIELD", "num_samples"),
    "unknown label": ({"target": "brickk"}, "INVALID_FIELD", "brick"),
    "target out of range": ({"target": 99}, "INVALID_FIELD", "targets[0]"),
    "a picture of one colour": ({"segmentation": "felzenszwalb"}, "INVALID_FIELD", "segment"),
    "empty text": ({"model": "models/sentiment", "inputs": ""}, "INVALID_FIELD", "text"),
    "text for a picture model": ({"inputs": "hello"}, "INVALID_FIELD", "text"),
    "one-row budget": ({"inputs": INPUTS / "brick_and_grass.png", "max_queries": 1}, "QUERY_BUDGET_EXCEEDED", "max_queries"),
    "a text file called .onnx": ({"model": b"hello, I am not a model"}, "MODEL_REJECTED", "ONNX"),
    "a 2 GB tensor in a 1 KB file": ({"model": huge_claim(), "inputs": np.ones(4, np.float32)}, "MODEL_REJECTED", "w"),
    "a model that says NaN": ({"model": always_nan(), "inputs": np.ones(4, np.float32)}, "MODEL_OUTPUT_INVALID", "NaN|finite"),
    "a model with too few rows": (
        {"model": too_few_rows(), "inputs": np.ones(4, np.float32)},
        "MODEL_OUTPUT_INVALID|MODEL_EXECUTION_FAILED",
        "row",
    ),
    "a model that raises for some rows": (
        {
            "model": raises_for_some_rows(),
            "inputs": np.ones(4, np.float32),
            "method": "occlusion",
            "baseline": 7.0,
        },
        "MODEL_EXECUTION_FAILED",
        "row 1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_a_reason(client: whybox.Client, name: str) -> None:
    """The reason is the catalogue's, the message names what is wrong, and the next call is answered."""
    changed, reasons, mention = CASES[name]
    with pytest.raises(whybox.ExplainError) as refused:
        call(client, **changed)()
    assert refused.value.reason in reasons.split("|"), refused.value
    assert any(word.lower() in str(refused.value).lower() for word in mention.split("|")), refused.value
    assert client.explain("models/digits", np.load(INPUTS / "digit.npy"), "occlusion").complete
