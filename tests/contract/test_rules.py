"""Every gradient rule against central differences in float64, for every real input in turn.

The oracle is the definition: <v, J u> = <J'v, u> for random u and v, where J u is a difference of the
operator itself, run by onnx's reference, and J'v is what the emitted graph says. The same graph in
float32 must load and agree in the runtime that serves it.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, defs, helper, numpy_helper, parser
from tests.contract.rule_case import Case
from tests.contract.rule_cases import CASES
from tests.oracles.reference import evaluator, run

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.path import version_of
from whybox_server.graph.gradient.table import GRADIENT
from whybox_server.graph.gradient.versions import NEWEST, OLDEST

STEP = 1e-6


def versions_of(op: str) -> set[int]:
    """Those that it has in the opsets that we differentiate in."""
    node = helper.make_node(op, [], [])
    return {version_of(node, opset) for opset in range(OLDEST, NEWEST + 1)} - {0}


# Operators without a rule: ONNX says them in others, and these have rules.
EXPANDED = (
    "Celu CenterCropPad GroupNormalization MeanVarianceNormalization Mish NegativeLogLikelihoodLoss Selu "
    "Shrink SoftmaxCrossEntropyLoss Softsign ThresholdedRelu"
).split()
RULES = sorted({*GRADIENT, *((op, version) for op in EXPANDED for version in versions_of(op))})
BODIES = {"If", "Scan"}  # their second derivatives are in test_recurrent.py
OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads, OPTIONS.log_severity_level = 1, 3


def opset_of(op: str, version: int) -> int:
    """The oldest opset of those we differentiate in that has this version."""
    opset = max(version, OLDEST)
    assert opset <= NEWEST
    assert defs.get_schema(op, opset).since_version == version, f"{op}-{version} is not what {opset} has"
    return opset


def cases_of(op: str, version: int) -> list[Case]:
    return [case for case in CASES[op] if not case.only or version in case.only]


def feeds_of(case: Case, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """The arrays that are inputs: real ones that are not fixed."""
    return {
        name: array.astype(dtype)
        for name, array in case.arrays.items()
        if array.dtype.kind == "f" and name not in case.fixed.split()
    }


def model_of(case: Case, opset: int, *, sized: bool = True, dtype: type = np.float64) -> ModelProto:
    """The case as a model; unsized: no length of any input is known."""
    feeds = feeds_of(case, dtype)
    kind = "double" if dtype is np.float64 else "float"
    text = f"g () => ({kind} y) {{ {case.body.replace('to=11', f'to={11 if dtype is np.float64 else 1}')} }}"
    graph = parser.parse_graph(text)
    graph.output[0].type.tensor_type.ClearField("shape")
    for name, array in feeds.items():
        shape = [
            length if sized or name in case.known.split() else f"{name}{axis}"
            for axis, length in enumerate(array.shape)
        ]
        graph.input.append(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)
        )
    for name, array in case.arrays.items():
        if name not in feeds:
            cast = array.astype(dtype) if array.dtype.kind == "f" else array
            graph.initializer.append(numpy_helper.from_array(cast, name))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_every_rule_has_a_case():
    """A rule without one does not ship, nor a case without a rule; nor a version of an operator."""
    assert {op for op, _ in RULES} == CASES.keys()
    assert all(cases_of(*rule) for rule in RULES)


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
@pytest.mark.parametrize(("op", "version"), RULES)
def test_a_rule_is_the_adjoint_of_the_derivative(op, version, sized):
    """Error of the difference: 1e-12 by the step, 1e-10 by rounding; asked: 1e-6."""
    rng = np.random.default_rng(version)
    for case in cases_of(op, version):
        if not sized and case.sized:
            continue
        model, feeds = model_of(case, opset_of(op, version), sized=sized), feeds_of(case)
        ask = evaluator(model)
        v = rng.normal(size=ask(feeds)["y"].shape)
        for name in sorted(feeds.keys() - {*case.frozen.split()}):
            dx = run(differentiate(model, name), {**feeds, SEED: v})[RESULT]
            assert dx.shape == feeds[name].shape, case.body
            assert dx.dtype == np.float64
            u = rng.normal(size=feeds[name].shape)
            up, down = (ask({**feeds, name: feeds[name] + sign * STEP * u})["y"] for sign in (1, -1))
            expected = np.vdot(v, (up - down) / (2 * STEP))  # <v, J u>
            scale = np.linalg.norm(u) * max(np.linalg.norm(dx), 1)
            assert np.vdot(dx, u) == pytest.approx(expected, abs=1e-6 * scale), (case.body, name)


@pytest.mark.parametrize("op", sorted(CASES.keys() - BODIES))
def test_what_is_emitted_can_be_differentiated_again(op):
    """Of g(x, v) = J(x)'v both derivatives: <w, dg> against differences of the first gradient."""
    version = max(version for other, version in RULES if other == op)
    rng = np.random.default_rng(version)
    for case in cases_of(op, version)[:3]:
        feeds = feeds_of(case)
        name = min(feeds.keys() - {*case.frozen.split()})
        first = differentiate(model_of(case, opset_of(op, version)), name)
        feeds[SEED] = rng.normal(size=run(model_of(case, opset_of(op, version)), feeds)["y"].shape)
        u, w = (
            {key: rng.normal(size=array.shape) for key, array in feeds.items()},
            rng.normal(size=feeds[name].shape),
        )
        for wrt in (SEED, name):
            if wrt == name and not depends(first, wrt):
                continue  # linear in it
            second = differentiate(first, wrt, RESULT)
            seed, result = second.graph.input[-1].name, second.graph.output[-1].name
            found = run(second, {**feeds, seed: w})[result]
            up, down = (
                run(first, {**feeds, wrt: feeds[wrt] + sign * STEP * u[wrt]})[RESULT] for sign in (1, -1)
            )
            expected = np.vdot(w, (up - down) / (2 * STEP))
            scale = np.linalg.norm(u[wrt]) * max(np.linalg.norm(found), 1)
            assert np.vdot(found, u[wrt]) == pytest.approx(expected, abs=1e-5 * scale), (case.body, wrt)


def depends(model: ModelProto, name: str) -> bool:
    """True if its gradient has a gradient with respect to this input."""
    try:
        differentiate(model, name, RESULT)
    except MethodUnsupported as refused:
        assert "does not depend on" in str(refused) or "only through what has no derivative" in str(refused)
        return False
    return True


@pytest.mark.parametrize(("op", "version"), RULES)
def test_the_runtime_agrees(op, version):
    """onnxruntime has kernels for all that the rules emit; float32 keeps 1e-4 of the largest gradient.

    Every other case without its lengths, where something else is emitted.
    """
    rng = np.random.default_rng(version)
    for place, case in enumerate(cases_of(op, version)):
        sized = case.sized or place % 2 == 0
        exact, single = feeds_of(case), feeds_of(case, np.float32)
        model, opset = model_of(case, opset_of(op, version)), opset_of(op, version)
        v = rng.normal(size=run(model, exact)["y"].shape)
        for name in sorted(exact.keys() - {*case.frozen.split()}):
            gradient = differentiate(model_of(case, opset, sized=sized, dtype=np.float32), name)
            expected = run(differentiate(model, name), {**exact, SEED: v})[RESULT]
            session = ort.InferenceSession(
                gradient.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"]
            )
            asked = {entry.name for entry in session.get_inputs()}
            feeds = {**single, SEED: v.astype(np.float32)}
            (dx,) = session.run([RESULT], {key: value for key, value in feeds.items() if key in asked})
            largest = np.abs(expected).max(initial=1)
            np.testing.assert_allclose(dx, expected, atol=1e-4 * largest, err_msg=f"{case.body} {name}")
