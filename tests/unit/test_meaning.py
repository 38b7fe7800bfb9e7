"""What is guessed about a model's tensors, what overrides a guess, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.spec import (
    BatchAxis,
    ImageSpec,
    Modality,
    ModelSpec,
    ScoreKind,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)
from whybox_server.core.target import Link
from whybox_server.graph.cut import Cut
from whybox_server.serving.onnx.meaning import Meaning, Seen, batch_axis, complete, merged
from whybox_server.serving.onnx.signature import Signature, TensorInfo

F32, TEXT = np.dtype(np.float32), np.dtype(object)
NO_SPEC = ModelSpec()


def info(*shape: int | None, name: str = "x", dtype: np.dtype = F32) -> TensorInfo:
    return TensorInfo(name, dtype, shape)


def cut(
    declared: ScoreKind | None = None, note: str = "", link: Link = Link.SOFTMAX, labels: tuple = ()
) -> Cut:
    return Cut(
        ModelProto(),
        "z",
        "y",
        ScoreKind.LOGIT if note else declared,
        declared,
        link,
        labels,
        note,
        bool(note),
    )


def meant(
    *inputs: TensorInfo, given: ModelSpec = NO_SPEC, of: Cut | None = None, seen: Seen | None = None
) -> Meaning:
    return complete(given, Signature(inputs, BatchAxis.DYNAMIC), of or cut(), seen or Seen(3, False))


@pytest.mark.parametrize(
    ("inputs", "modality"),
    [
        ([info(None, 3, 224, 224)], Modality.IMAGE),
        ([info(None, 28, 28, 1)], Modality.IMAGE),
        ([info(None, 3, None, None)], Modality.IMAGE),
        ([info(None, 3, 4, 4)], Modality.TENSOR),
        ([info(None, 5, 32, 32)], Modality.TENSOR),
        ([info(None, 100, 2)], Modality.TIME_SERIES),
        ([info(None, 30)], Modality.TABULAR),
        ([info(None, 1, dtype=TEXT)], Modality.TEXT),
        ([info(None, dtype=TEXT)], Modality.TEXT),
        ([info(None, 1), info(None, 1, name="town", dtype=TEXT)], Modality.TABULAR),
        ([info(None, 8), info(None, 3, 64, 64, name="picture")], Modality.IMAGE),
        ([TensorInfo("x", F32, None)], Modality.TENSOR),
    ],
)
def test_the_modality_is_guessed_from_the_largest_input(inputs, modality):
    """And the guess is told in a sentence that names the input and its shape."""
    found = meant(*inputs)
    assert found.spec.modality is modality
    assert any(guess.startswith(f"modality {modality.value}: input") for guess in found.guesses)


def test_a_section_of_the_spec_says_the_modality():
    """Who describes a time series means one, whatever the rank."""
    found = meant(info(None, 30), given=ModelSpec(details=TimeSeriesSpec(layout="")))
    assert found.spec.modality is Modality.TIME_SERIES
    assert found.spec.details == TimeSeriesSpec(layout="T") or found.spec.details.layout == "T"


def test_a_section_of_another_modality_is_refused():
    """An image spec for a table would silently be ignored."""
    with pytest.raises(InvalidRequest, match="ImageSpec does not describe modality tabular"):
        meant(info(None, 30), given=ModelSpec(modality=Modality.TABULAR, details=ImageSpec()))


@pytest.mark.parametrize(
    ("shape", "given", "layout"),
    [
        ((None, 3, 32, 32), None, "CHW"),
        ((None, 32, 32, 3), None, "HWC"),
        ((None, 32, 32, 3), ImageSpec(layout=""), "HWC"),
        ((None, 32, 32, 3), ImageSpec(), "HWC"),
        ((None, 28, 28), ImageSpec(layout=""), "HW"),
        ((None, 3, 32, 3), ImageSpec(layout="HWC"), "HWC"),
    ],
)
def test_the_layout_of_a_picture_follows_its_channel_axis(shape, given, layout):
    """1, 3 or 4 long; a layout that was given stands."""
    found = meant(info(*shape), given=ModelSpec(modality=Modality.IMAGE, details=given))
    assert found.spec.details.layout == layout


@pytest.mark.parametrize(
    ("shape", "layout"), [((None, 100, 2), "TC"), ((None, 2, 100), "CT"), ((None, 60), "T")]
)
def test_the_shorter_axis_of_a_series_is_its_channels(shape, layout):
    """Series are longer than wide."""
    found = meant(info(*shape), given=ModelSpec(modality=Modality.TIME_SERIES))
    assert found.spec.details.layout == layout


@pytest.mark.parametrize(
    ("modality", "details"),
    [(Modality.IMAGE, ImageSpec(layout="HW")), (Modality.TIME_SERIES, TimeSeriesSpec("T"))],
)
def test_a_layout_with_another_number_of_axes_is_refused(modality, details):
    """Three axes cannot be named by one or two letters."""
    with pytest.raises(InvalidRequest, match="has 3"):
        meant(info(None, 9, 32, 32), given=ModelSpec(modality=modality, details=details))


def test_columns_are_named_after_the_inputs_or_by_number():
    """skl2onnx gives a table one input per column; a single input has anonymous columns."""
    several = meant(info(None, 1, name="age"), info(None, 1, name="town", dtype=TEXT))
    assert several.spec.details.feature_names == ("age", "town")
    assert meant(info(None, 3)).spec.details.feature_names == ("x0", "x1", "x2")


def test_the_wrong_number_of_feature_names_is_refused():
    """The message says how many columns there are."""
    with pytest.raises(InvalidRequest, match="must be 3 names"):
        meant(info(None, 3), given=ModelSpec(details=TabularSpec(feature_names=("a", "b"))))


@pytest.mark.parametrize(
    ("of", "seen", "score", "kind"),
    [
        (cut(ScoreKind.PROBABILITY, "cut"), Seen(3, False), ScoreKind.PROBABILITY, ScoreKind.LOGIT),
        (cut(ScoreKind.PROBABILITY), Seen(3, True), ScoreKind.PROBABILITY, ScoreKind.PROBABILITY),
        (cut(ScoreKind.PROBABILITY), Seen(3, False), ScoreKind.LOGIT, ScoreKind.LOGIT),
        (cut(ScoreKind.PROBABILITY), Seen(3), ScoreKind.PROBABILITY, ScoreKind.PROBABILITY),
        (cut(), Seen(3, True), ScoreKind.PROBABILITY, ScoreKind.PROBABILITY),
        (cut(), Seen(3, False), ScoreKind.LOGIT, ScoreKind.LOGIT),
        (cut(), Seen(1), ScoreKind.VALUE, ScoreKind.VALUE),
        (cut(ScoreKind.VALUE), Seen(2, False), ScoreKind.VALUE, ScoreKind.VALUE),
    ],
)
def test_what_scores_are_is_told_by_the_graph_and_by_a_row_of_zeros(of, seen, score, kind):
    """An output called "probabilities" whose scores do not sum to one holds none."""
    found = meant(info(None, 4), of=of, seen=seen)
    assert (found.spec.score, found.kind) == (score, kind)


def test_what_was_given_is_no_guess():
    """Nothing to report when everything was said."""
    given = ModelSpec(Modality.TENSOR, ("a", "b", "c"), "y", ScoreKind.VALUE, BatchAxis.DYNAMIC)
    found = meant(info(None, 4), given=given)
    assert (found.guesses, found.spec.labels, found.kind) == ((), ("a", "b", "c"), ScoreKind.VALUE)


def test_labels_are_the_specs_then_the_graphs_then_numbers():
    """And the number of outputs decides whether the graph's fit."""
    of = cut(labels=("cat", "dog", "eel"))
    assert meant(info(None, 4), of=of).spec.labels == ("cat", "dog", "eel")
    assert meant(info(None, 4), of=of, given=ModelSpec(labels=("a", "b", "c"))).spec.labels == ("a", "b", "c")
    assert meant(info(None, 4), of=of, seen=Seen(2, False)).spec.labels == ("0", "1")
    with pytest.raises(InvalidRequest, match="has 3 scores, got 2 labels"):
        meant(info(None, 4), given=ModelSpec(labels=("a", "b")))


@pytest.mark.parametrize(
    ("given", "of", "binary"),
    [
        (NO_SPEC, cut(ScoreKind.PROBABILITY, "cut", Link.SIGMOID), True),
        (ModelSpec(labels=("no", "yes")), cut(), True),
        (ModelSpec(score=ScoreKind.PROBABILITY), cut(), True),
        (ModelSpec(score=ScoreKind.VALUE), cut(ScoreKind.PROBABILITY, "", Link.SIGMOID), False),
        (NO_SPEC, cut(), False),
    ],
)
def test_one_column_is_two_classes_if_it_has_a_sigmoid_two_labels_or_is_a_probability(given, of, binary):
    """A value of a regression is none of these."""
    found = meant(info(None, 4), given=given, of=of, seen=Seen(1))
    assert found.binary is binary
    assert len(found.spec.labels) == (2 if binary else 1)


@pytest.mark.parametrize(
    ("inputs", "outputs", "axis", "rows"),
    [
        ([info(None, 3)], [info(None, 2)], BatchAxis.DYNAMIC, None),
        ([info(1, 3, 8, 8)], [info(1, 10)], BatchAxis.FIXED, 1),
        ([info(8, 3, 8, 8)], [info(8, 10)], BatchAxis.FIXED, 8),
        ([info(8, 3, 8, 8)], [info(None, 10)], BatchAxis.FIXED, 8),
        ([info(3, 8, 8)], [info(10)], BatchAxis.NONE, None),
        ([info(3, 8, 8)], [info(1, 10)], BatchAxis.NONE, None),
        ([info(4)], [info(2)], BatchAxis.NONE, None),
        ([info(1, 4)], [info(None, None)], BatchAxis.FIXED, 1),
        ([info()], [info()], BatchAxis.NONE, None),
        ([info(None, 4), info(1, 2, name="z")], [info(None, 2)], BatchAxis.FIXED, 1),
        ([info(3, 4), info(5, 2, name="z")], [info(3, 2)], BatchAxis.NONE, None),
        ([TensorInfo("x", F32, None)], [TensorInfo("y", F32, None)], BatchAxis.DYNAMIC, None),
    ],
)
def test_the_batch_axis_is_guessed_from_declared_lengths(inputs, outputs, axis, rows):
    """A fixed first axis counts rows if the outputs have as many."""
    signature, guess = batch_axis(inputs, outputs, None)
    assert (signature.batch, signature.rows) == (axis, rows)
    assert guess.startswith(f"batch {axis.value}: ")


@pytest.mark.parametrize(("shape", "given"), [((None, 3), BatchAxis.FIXED), ((), BatchAxis.DYNAMIC)])
def test_a_batch_axis_that_contradicts_the_graph_is_refused(shape, given):
    """No length to pad to; no axis to count along."""
    with pytest.raises(InvalidRequest, match=r"spec\.batch"):
        batch_axis([info(*shape)], [info(None, 2)], given)


def test_a_requests_spec_goes_before_the_files_field_by_field():
    """Labels of the request, background of the file, and names of whoever gave some."""
    rows = np.zeros((2, 3))
    file = ModelSpec(Modality.TABULAR, ("no", "yes"), "y", details=TabularSpec(("a", "b", "c"), rows))
    request = ModelSpec(labels=("N", "Y"), details=TabularSpec(categories={0: ("low", "high")}))
    both = merged(request, file)
    assert (both.modality, both.labels, both.output) == (Modality.TABULAR, ("N", "Y"), "y")
    assert both.details.feature_names == ("a", "b", "c")
    assert both.details.background is rows
    assert both.details.categories == {0: ("low", "high")}


def test_a_request_may_describe_another_modality_than_the_file():
    """Sections of different kinds are not mixed."""
    both = merged(ModelSpec(details=TextSpec()), ModelSpec(details=TabularSpec(("a",))))
    assert both.details == TextSpec()
