"""What must hold for the gradient of any network, tried on one real export per family.

Legacy exports where there is one: they take a tenth of the time.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import version_converter
from tests.oracles_torch.exports import EXPORTS, Gradient, exported, gradient
from tests.oracles_torch.families import CLASSES, FAMILIES, inputs

ROUNDING = 2e-6  # of the largest gradient: float32, summed in another order
RNG = np.random.default_rng(7)
EXPORTER = dict(EXPORTS)  # the last one listed: legacy but for ViT
WITH_NORMS = ("resnet", "vgg_bn", "densenet", "mobilenet_v2", "mobilenet_v3", "efficientnet", "regnet")
WORDS = [name for name, family in FAMILIES.items() if family.words]

pytestmark = pytest.mark.slow
families = pytest.mark.parametrize("name", FAMILIES)


def seed_of(args: tuple) -> np.ndarray:
    return RNG.normal(size=(len(args[0]), CLASSES))


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=ROUNDING * np.abs(expected).max(), rtol=0)


@families
def test_the_gradient_is_linear_in_the_seed(name):
    """g(2 s - 3 t) = 2 g(s) - 3 g(t), and no seed is no gradient."""
    ask, args = gradient(name, EXPORTER[name]), inputs(name, 1)
    s, t = seed_of(args), seed_of(args)
    alike(ask(args, 2 * s - 3 * t), 2 * ask(args, s) - 3 * ask(args, t))
    np.testing.assert_array_equal(ask(args, 0 * s), 0)


@families
def test_rows_do_not_know_their_neighbours(name):
    """A batch is explained as its rows are one by one."""
    ask, args = gradient(name, EXPORTER[name]), inputs(name, 2)
    seed = seed_of(args)
    together = ask(args, seed)
    for row in range(len(seed)):
        alone = ask([arg[row : row + 1] for arg in args], seed[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=ROUNDING * np.abs(together).max())


@families
def test_the_runtime_s_optimisations_change_nothing(name):
    """Fused, laid out anew, or as it was emitted."""
    ask, args = gradient(name, EXPORTER[name]), inputs(name, 3)
    seed = seed_of(args)
    plain = Gradient(exported(name, EXPORTER[name]), "ORT_DISABLE_ALL")
    alike(ask(args, seed), plain(args, seed))


@families
@pytest.mark.parametrize("opset", [18, 21])
def test_the_opset_changes_nothing(name, opset):
    """Operators are written differently at the ends of what we differentiate in."""
    ask, args = gradient(name, EXPORTER[name]), inputs(name, 4)
    if opset < exported(name, EXPORTER[name]).opset_import[0].version:
        pytest.skip("models are converted upwards only")
    seed = seed_of(args)
    converted = Gradient(version_converter.convert_version(exported(name, EXPORTER[name]), opset))
    alike(ask(args, seed), converted(args, seed))


@pytest.mark.parametrize("name", WITH_NORMS)
def test_merging_a_batch_normalization_changes_nothing(name):
    """Exporters merge it into the convolution before it; here it is left where it is."""
    ask, args = gradient(name, "legacy"), inputs(name, 5)
    unmerged = exported(name, "unmerged")
    assert any(node.op_type == "BatchNormalization" for node in unmerged.graph.node)
    seed = seed_of(args)
    alike(Gradient(unmerged)(args, seed), ask(args, seed))


@pytest.mark.parametrize("name", WORDS)
def test_a_word_that_is_masked_has_no_gradient(name):
    """The last token of the first row is not attended to; the others are."""
    args = inputs(name, 6)
    found = gradient(name, EXPORTER[name])(args, seed_of(args))
    np.testing.assert_array_equal(found[0, -1], 0)
    assert (np.abs(found).max(axis=2) > 0).sum() == found.shape[0] * found.shape[1] - 1
