"""Typical pictures from the caller or from `whybox.yaml` to the methods, and what is kept beside them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto
from tests.answering import instance_of

import whybox
from whybox_server.api.spec import from_spec, to_spec
from whybox_server.core.errors import InvalidRequest
from whybox_server.core.memo import Memo
from whybox_server.core.spec import BatchAxis, ImageSpec, Modality, ModelSpec, ScoreKind
from whybox_server.core.target import Link
from whybox_server.graph.cut import Cut
from whybox_server.perturb.baselines import background_of
from whybox_server.perturb.options import Baseline, BaselineKind
from whybox_server.serving.onnx.described import parse
from whybox_server.serving.onnx.meaning import Seen, complete, merged
from whybox_server.serving.onnx.signature import Signature, TensorInfo

PICTURES = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)


def test_pictures_travel_from_the_caller_to_the_spec():
    """The client's builder, the wire, and back: the same array; it is not sent back."""
    message = whybox.ModelSpec.image(layout="HW", background=PICTURES).message
    spec = to_spec(message, "spec")
    assert isinstance(spec.details, ImageSpec)
    assert np.array_equal(spec.details.background, PICTURES)
    assert not from_spec(spec).image.HasField("background")
    assert to_spec(whybox.ModelSpec.image(layout="HW").message, "spec").details.background is None


def test_pictures_can_lie_beside_the_model():
    """`image.background` of whybox.yaml; a request that says something else of the picture keeps them."""
    file = parse("image: {layout: HW, background: typical.npy}", lambda name: PICTURES)
    assert file.details.background is PICTURES
    assert merged(ModelSpec(details=ImageSpec("HW", 0, 255)), file).details.background is PICTURES


def test_a_completed_spec_keeps_what_is_kept():
    """The model's memo survives the guesses."""
    memo = Memo()
    cut = Cut(ModelProto(), "z", "y", None, None, Link.SOFTMAX, (), "", False)
    inputs = (TensorInfo("x", np.dtype(np.float32), (None, 8, 8)),)
    given = ModelSpec(Modality.IMAGE, score=ScoreKind.VALUE, kept=memo)
    found = complete(given, Signature(inputs, BatchAxis.DYNAMIC), cut, Seen(1, False))
    assert found.spec.kept is memo


def test_hidden_places_can_take_the_values_of_typical_pictures():
    """Baseline BACKGROUND: every picture is an alternative; without any it is refused."""
    rng, baseline = np.random.default_rng(0), Baseline(BaselineKind.BACKGROUND)
    one = instance_of(Modality.IMAGE, PICTURES[0], details=ImageSpec("HW", background=PICTURES))
    assert np.array_equal(background_of(one, baseline, rng).values["x0"], PICTURES)
    with pytest.raises(InvalidRequest, match=r"spec\.image\.background"):
        background_of(instance_of(Modality.IMAGE, PICTURES[0], details=ImageSpec("HW")), baseline, rng)
