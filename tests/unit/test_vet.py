"""Files that are refused before a runtime sees them, each by the rule it breaks, and files that are not."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, StringStringEntryProto, TensorProto, helper, numpy_helper
from tests.models.graph import f32, model, node

from whybox_server.core.errors import ModelRejected, TooLarge
from whybox_server.serving.onnx.vet import TRUSTED, UNTRUSTED, Limits, vet

FLOAT = TensorProto.FLOAT


def proto(nodes: list[NodeProto] | None = None, weights: dict | None = None, opset: int = 17) -> ModelProto:
    """A model of these nodes between x (n, 4) and y, not checked by anybody."""
    graph = helper.make_graph(
        nodes or [node("Relu", "x", "y")],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", FLOAT, ["n", "m"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def rule(data: bytes | ModelProto, limits: Limits = UNTRUSTED) -> str:
    """The rule that a file breaks."""
    with pytest.raises(ModelRejected) as caught:
        vet(data if isinstance(data, bytes) else data.SerializeToString(), limits)
    return caught.value.details["rule"]


def test_an_ordinary_model_passes_unchanged():
    """What is returned is what the bytes say."""
    data = proto().SerializeToString()
    assert vet(data, UNTRUSTED).SerializeToString() == data


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"", "EMPTY"),
        (b"import torch\nmodel = torch.load('x')\n", "NOT_ONNX"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "NOT_ONNX"),
        (b"\x00" * 100, "NOT_ONNX"),
        (b"PK\x03\x04 a zip archive", "NOT_ONNX"),
        (b"\x08\x08", "NOT_ONNX"),
    ],
)
@pytest.mark.parametrize("limits", [UNTRUSTED, TRUSTED], ids=["untrusted", "trusted"])
def test_what_is_no_model_is_refused_whoever_sends_it(data, broken, limits):
    """Empty files, texts, pointers and archives that are called model.onnx."""
    assert rule(data, limits) == broken


def test_a_truncated_file_is_refused_wherever_it_ends():
    """At every length but the whole one: damaged, or a graph that lacks something."""
    data = proto(weights={"w": f32([1, 2, 3])}).SerializeToString()
    for end in range(1, len(data) - 8):  # the last 8 bytes hold the opset
        rule(data[:end])
    with pytest.raises(ModelRejected, match="damaged or ends too early"):
        vet(data[: len(data) // 2], UNTRUSTED)


def test_a_file_over_the_size_limit_is_refused_with_the_limit():
    """Before it is parsed."""
    with pytest.raises(TooLarge) as caught:
        vet(bytes(101), Limits(size_bytes=100))
    assert caught.value.details["limit"] == "100"


def broken_tensor(change: Callable[[TensorProto], None]) -> ModelProto:
    changed = proto([node("Add", "x w", "y")], {"w": f32([1, 2, 3, 4])})
    change(changed.graph.initializer[0])
    return changed


def as_external(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(StringStringEntryProto(key="location", value="/etc/passwd"))


def as_huge(tensor: TensorProto) -> None:
    tensor.dims[:] = [1 << 29]


def as_negative(tensor: TensorProto) -> None:
    tensor.dims[:] = [-4]


def as_typed_but_short(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1, 2, 3])


def as_unknown_type(tensor: TensorProto) -> None:
    tensor.data_type = 99


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (as_external, "EXTERNAL_DATA"),
        (as_huge, "TENSOR_SIZE"),
        (as_negative, "TENSOR_SIZE"),
        (as_typed_but_short, "TENSOR_SIZE"),
        (as_unknown_type, "TENSOR_SIZE"),
    ],
)
@pytest.mark.parametrize("place", ["initializer", "attribute"])
def test_tensors_must_be_there_in_full(change, broken, place):
    """Two gigabytes declared in one kilobyte, other files, negative lengths: in weights and in constants."""
    changed = broken_tensor(change)
    if place == "attribute":
        tensor = changed.graph.initializer.pop()
        changed.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
    assert rule(changed, TRUSTED) == broken


def test_packed_and_typed_tensors_are_measured_right():
    """Two 4-bit numbers per byte, two floats per complex number, entries of typed fields."""
    fine = proto(weights={"w": f32([1, 2, 3])})
    fine.graph.initializer.extend(
        [
            helper.make_tensor("four", TensorProto.INT4, [3], bytes([0x21, 0x03]), raw=True),
            helper.make_tensor("half", TensorProto.FLOAT16, [2], [1.0, 2.0]),
            helper.make_tensor("pair", TensorProto.COMPLEX64, [2], [1 + 2j, 3 + 4j]),
            helper.make_tensor("text", TensorProto.STRING, [2], ["a", "b"]),
            helper.make_tensor("none", FLOAT, [0, 5], []),
        ]
    )
    vet(fine.SerializeToString(), UNTRUSTED)


def two_adds(outputs: tuple[str, str]) -> list[NodeProto]:
    return [
        helper.make_node("Add", ["x", "x"], [outputs[0]]),
        helper.make_node("Add", ["x", "x"], [outputs[1]]),
    ]


def test_two_values_of_one_name_are_refused():
    """Made twice, or made and given as well."""
    assert rule(proto(two_adds(("y", "y")))) == "DUPLICATE_NAME"
    assert rule(proto(two_adds(("x", "y")))) == "DUPLICATE_NAME"
    twice = proto(weights={"w": f32([1])})
    twice.graph.initializer.append(twice.graph.initializer[0])
    assert rule(twice) == "DUPLICATE_NAME"


def test_operators_of_unknown_libraries_are_refused():
    """The message names the operator and its domain."""
    with pytest.raises(ModelRejected, match=r"'Evil' is of domain 'my\.ops'"):
        vet(proto([node("Evil", "x", "y", domain="my.ops")]).SerializeToString(), TRUSTED)
    vet(proto([node("Gelu", "x", "y", domain="com.microsoft")]).SerializeToString(), UNTRUSTED)


@pytest.mark.parametrize("opset", [6, 999])
def test_opsets_nobody_runs_are_refused(opset):
    """Older than the runtime promises, newer than it knows."""
    assert rule(proto(opset=opset)) == "OPSET"


def test_a_model_without_inputs_or_for_training_is_refused():
    """Weights that are listed as inputs are none."""
    closed = proto([node("Relu", "w", "y")], {"w": f32([1])})
    del closed.graph.input[:]
    closed.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [1]))
    assert rule(closed) == "NO_INPUTS"
    training = proto()
    training.training_info.add()
    assert rule(training) == "TRAINING"


def endless() -> ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, None),
        ],
    )
    return proto([helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)], {"yes": np.array(True)})


def test_a_loop_is_for_trusted_models():
    """It may never end; in a function it hides no better."""
    vet(endless().SerializeToString(), TRUSTED)
    assert rule(endless()) == "LOOP"


def calling(*functions: tuple[str, list[str]]) -> ModelProto:
    """A model that calls the first of these functions; each calls the ones listed with it."""
    made = proto([node(functions[0][0], "x", "y", domain="own")])
    made.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for name, calls in functions:
        names = ["a", *(f"v{at}" for at in range(1, len(calls))), "b"]
        nodes = [
            helper.make_node(op, [names[at]], [names[at + 1]], domain="" if op == "Relu" else "own")
            for at, op in enumerate(calls)
        ]
        made.functions.append(helper.make_function("own", name, ["a"], ["b"], nodes, opsets))
    return made


def test_functions_may_not_call_themselves_nor_multiply():
    """Ten functions that each call the next ten times would be ten billion nodes."""
    vet(calling(("f", ["g", "Relu"]), ("g", ["Relu"])).SerializeToString(), UNTRUSTED)
    assert rule(calling(("f", ["g"]), ("g", ["f"]))) == "RECURSION"
    tower = [(f"f{at}", [f"f{at + 1}"] * 10) for at in range(7)] + [("f7", ["Relu"] * 10)]
    assert rule(calling(*tower)) == "TOO_MANY_NODES"
    deep = [(f"f{at}", [f"f{at + 1}"]) for at in range(9)] + [("f9", ["Relu"])]
    assert rule(calling(*deep)) == "TOO_DEEP"


def test_nodes_tensors_and_nesting_are_counted():
    """Subgraphs within subgraphs, their nodes included."""
    assert rule(proto([*two_adds(("a", "b")), node("Relu", "a", "y")]), Limits(nodes=2)) == "TOO_MANY_NODES"
    assert rule(proto(weights={"a": f32([1]), "b": f32([1])}), Limits(tensors=1)) == "TOO_MANY_TENSORS"
    branch = helper.make_node("Relu", ["x"], ["y"])
    for _ in range(9):
        out = [helper.make_tensor_value_info("y", FLOAT, None)]
        graph = helper.make_graph([branch], "b", [], out)
        branch = helper.make_node("If", ["yes"], ["y"], then_branch=graph, else_branch=graph)
    assert rule(proto([branch], {"yes": np.array(True)})) == "TOO_DEEP"


def chain(*nodes: NodeProto, **weights: object) -> ModelProto:
    """Constants that end in `big`, whose sum is added to x."""
    tail = [node("ReduceSum", "big", "sum", keepdims=0), node("Add", "x sum", "y")]
    return proto([*nodes, *tail], {name: np.asarray(value) for name, value in weights.items()})


def doubled() -> ModelProto:
    nodes = [node("Concat", f"c{at} c{at}", f"c{at + 1}", axis=0) for at in range(33)]
    return chain(*nodes, node("Concat", "c33 c33", "big", axis=0), c0=f32([1]))


BOMBS = {
    "concat": doubled(),
    "constant of shape": chain(node("ConstantOfShape", "shape", "big"), shape=np.array([1 << 16, 1 << 16])),
    "expand": chain(node("Expand", "one shape", "big"), one=f32([1]), shape=np.array([1 << 16, 1 << 16])),
    "tile": chain(node("Tile", "one often", "big"), one=f32([1]), often=np.array([1 << 40])),
    "range": chain(node("Range", "a b c", "big"), a=np.array(0), b=np.array(1 << 40), c=np.array(1)),
    "pad": chain(node("Pad", "one pads", "big"), one=f32([1]), pads=np.array([0, 1 << 40])),
    "resize": chain(
        node("Resize", "one  scales", "big"), one=f32([[[[1]]]]), scales=f32([1, 1, 1 << 20, 1 << 20])
    ),
    "gather": chain(
        node("Gather", "rows at", "big"), rows=np.ones((1, 1 << 15), np.float32), at=np.zeros(1 << 15, int)
    ),
    "broadcast": chain(
        node("Mul", "a b", "big"), a=np.ones((1 << 15, 1), np.float32), b=np.ones(1 << 15, np.float32)
    ),
    "shape arithmetic": chain(
        node("Mul", "a b", "c"),
        node("Concat", "c c", "s", axis=0),
        node("ConstantOfShape", "s", "big"),
        a=np.array([1 << 10]),
        b=np.array([1 << 10]),
    ),
    "unknown size": chain(
        node("Slice", "many from to", "n"),
        node("ConstantOfShape", "n", "big"),
        many=np.zeros(5000, int),
        **{"from": np.array([0]), "to": np.array([2])},
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_constants_that_would_grow_without_end_are_refused(name):
    """A kilobyte or so that would fold into gigabytes, or into nobody knows how much."""
    assert rule(BOMBS[name]) == "GROWTH"


def test_the_bomb_of_the_measurement_is_small():
    """34 doublings: 2.6 GB and 5 s in the runtime, from less than 2 KB."""
    assert len(BOMBS["concat"].SerializeToString()) < 2000


def test_a_bomb_behind_the_shape_of_a_fixed_input_is_found():
    """Runtimes fold Shape where the input's shape is declared."""
    hidden = proto(
        [node("Shape", "x", "s"), node("Mul", "s k", "t"), node("ConstantOfShape", "t", "big"),
         node("ReduceSum", "big", "sum", keepdims=0), node("Add", "x sum", "y")],
        {"k": np.array([1 << 18])},
    )  # fmt: skip
    vet(hidden.SerializeToString(), UNTRUSTED)
    hidden.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", FLOAT, [2, 4]))
    assert rule(hidden) == "GROWTH"


def test_a_bomb_inside_a_branch_or_a_function_is_found():
    """Both are folded like the rest."""
    inner = helper.make_graph(
        [node("Expand", "one shape", "big"), node("ReduceSum", "big", "t", keepdims=0)],
        "b", [], [helper.make_tensor_value_info("t", FLOAT, None)],
    )  # fmt: skip
    branch = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)
    weights = {"yes": np.array(True), "one": f32([1]), "shape": np.array([1 << 40])}
    assert rule(proto([branch], weights)) == "GROWTH"
    called = calling(("f", ["Relu"]))
    body = called.functions[0].node
    del body[:]
    body.append(helper.make_node("Constant", [], ["s"], value_ints=[1 << 40]))
    body.append(helper.make_node("ConstantOfShape", ["s"], ["big"]))
    body.append(helper.make_node("ReduceSum", ["big"], ["t"], keepdims=0))
    body.append(helper.make_node("Add", ["a", "t"], ["b"]))
    assert rule(called) == "GROWTH"


def test_the_constants_of_ordinary_exports_pass():
    """Shape arithmetic as exporters write it, masks, transposed weights, constants that shrink."""
    exported = chain(
        node("ConstantOfShape", "two", "ones", value=helper.make_tensor("v", TensorProto.INT64, [1], [1])),
        node("Mul", "ones minus", "mask"),
        node("Equal", "dims mask", "unset"),
        node("Where", "unset ones dims", "shape"),
        node("Expand", "w shape", "wide"),
        node("Transpose", "wide", "turned"),
        node("NonZero", "turned", "found"),
        node("Cast", "found", "big", to=FLOAT),
        two=np.array([2]), minus=np.array(-1), dims=np.array([-1, 64]), w=np.ones((64, 1), np.float32),
    )  # fmt: skip
    vet(exported.SerializeToString(), UNTRUSTED)
    scan = node("Scan", "x", "y", body=_scan_body(), num_scan_inputs=1)
    vet(model([scan], {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, {}), UNTRUSTED)


def _scan_body() -> object:
    return helper.make_graph(
        [helper.make_node("Relu", ["row"], ["out"])],
        "body",
        [helper.make_tensor_value_info("row", FLOAT, [4])],
        [helper.make_tensor_value_info("out", FLOAT, [4])],
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(seed):
    """Bytes changed, lost and doubled at random, 300 times: no error but a refusal with a rule."""
    rng = random.Random(seed)
    originals = [
        one.SerializeToString() for one in (proto(), endless(), calling(("f", ["Relu"])), BOMBS["expand"])
    ]
    for _ in range(300):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.choice((1, 2, 4))):
            at, length = rng.randrange(len(data)), rng.randrange(1, 6)
            data[at : at + length] = rng.choice((b"", rng.randbytes(length), data[at : at + length] * 2))
        try:
            vet(bytes(data), UNTRUSTED)
        except ModelRejected as refusal:
            assert refusal.details["rule"]  # noqa: PT017  most are refused, some still are models


def test_trusted_models_may_grow():
    """The operator has looked at his own files."""
    assert vet(doubled().SerializeToString(), TRUSTED).graph.node
