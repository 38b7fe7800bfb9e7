"""The models folder and whybox.yaml; oracle: what was written into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whybox_server.core.spec import (
    BatchAxis,
    GradientOutput,
    ImageSpec,
    Modality,
    ModelSpec,
    ScoreKind,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)
from whybox_server.serving.onnx.described import DescriptionError, parse
from whybox_server.serving.onnx.folder import FolderModel, scan

ROWS = np.array([[1.0, 2.0], [3.0, 4.0]])


def nothing(name: str) -> np.ndarray:
    raise AssertionError(f"{name} is not asked for")


def put(root: Path, place: str, text: str = "") -> Path:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def only(root: Path) -> FolderModel:
    (found,) = scan(root)
    return found


def test_models_are_found_newest_version_first(tmp_path):
    """Ten is more than nine; other files and folders are none of ours."""
    for place in (
        "iris/9/model.onnx",
        "iris/10/model.onnx",
        "iris/notes/model.onnx",
        "text/model.onnx",
        ".git/1/model.onnx",
    ):
        put(tmp_path, place, "12345")
    put(tmp_path, "README.md")
    found = scan(tmp_path)
    assert [(one.name, one.version, one.problem) for one in found] == [
        ("iris", "10", ""),
        ("iris", "9", ""),
        ("text", "", ""),
    ]
    assert (found[0].size_bytes, found[0].read()) == (5, b"12345")


def test_a_folder_without_a_model_is_listed_with_its_problem(tmp_path):
    """A typo in a file name is seen in the list, and harms no other model."""
    put(tmp_path, "wrong/1/modle.onnx")
    put(tmp_path, "bad/model.onnx")
    put(tmp_path, "bad/whybox.yaml", "modality: [")
    put(tmp_path, "good/1/model.onnx")
    problems = {one.name: one.problem for one in scan(tmp_path)}
    assert "no model.onnx" in problems["wrong"]
    assert "no YAML" in problems["bad"]
    assert problems["good"] == ""


def test_the_nearest_yaml_counts(tmp_path):
    """One beside a version goes before the one for all versions."""
    put(tmp_path, "m/1/model.onnx")
    put(tmp_path, "m/2/model.onnx")
    put(tmp_path, "m/whybox.yaml", "labels: [a, b]")
    put(tmp_path, "m/2/whybox.yaml", "labels: [c, d]")
    assert [one.spec.labels for one in scan(tmp_path)] == [("c", "d"), ("a", "b")]


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_a_background_is_read_from_beside_the_yaml(tmp_path, suffix):
    """The same rows from each kind of file."""
    put(tmp_path, "m/1/model.onnx")
    put(tmp_path, "m/1/whybox.yaml", f"tabular:\n  background: data/rows.{suffix}")
    path = put(tmp_path, f"m/1/data/rows.{suffix}", "a,b\n1,2\n3,4\n")
    if suffix == "npy":
        np.save(path, ROWS)
    elif suffix == "npz":
        np.savez(path, rows=ROWS)
    found = only(tmp_path)
    assert found.problem == ""
    np.testing.assert_array_equal(found.spec.details.background, ROWS)


def test_a_table_with_words_is_read_as_objects(tmp_path):
    """Numbers stay numbers, quoted commas stay in their cell."""
    put(tmp_path, "m/model.onnx")
    put(tmp_path, "m/whybox.yaml", "tabular: {background: rows.csv}")
    put(tmp_path, "m/rows.csv", 'age,town\n41,"Ulm, Donau"\n7,Bonn\n')
    assert only(tmp_path).spec.details.background.tolist() == [[41.0, "Ulm, Donau"], [7.0, "Bonn"]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../secret.npy", "outside the model's folder"),
        ("/etc/passwd", "outside the model's folder"),
        ("link.npy", "outside the model's folder"),
        ("absent.npy", "there is no file"),
        ("rows.pkl", "must be a .npy, .npz or .csv"),
        ("empty.csv", "holds no rows"),
        ("ragged.csv", "not equally long"),
        ("pickled.npy", "background: "),
    ],
)
def test_a_background_that_cannot_be_read_is_a_problem_of_its_model(tmp_path, name, said):
    """Nothing outside the folder is opened, and nothing is unpickled."""
    put(tmp_path, "m/model.onnx")
    put(tmp_path, "m/whybox.yaml", f"tabular: {{background: {name}}}")
    np.save(tmp_path / "secret.npy", ROWS)
    (tmp_path / "m/link.npy").symlink_to(tmp_path / "secret.npy")
    put(tmp_path, "m/rows.pkl", "x")
    put(tmp_path, "m/empty.csv", "a,b\n")
    put(tmp_path, "m/ragged.csv", "a,b\n1\n2,3\n")
    np.save(tmp_path / "m/pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert said in only(tmp_path).problem


def test_every_field_of_the_spec_can_be_written():
    """One yaml per modality, each field with a value that is not its default."""
    tabular = parse(
        "modality: tabular\nlabels: [0, 'yes']\noutput: p\nscore: probability\nbatch: dynamic\n"
        "tabular:\n  feature_names: [a, b]\n  categories: {1: [low, high]}\n  background: r.npy",
        lambda name: ROWS,
    )
    assert (tabular.modality, tabular.labels, tabular.output) == (Modality.TABULAR, ("0", "yes"), "p")
    assert (tabular.score, tabular.batch) == (ScoreKind.PROBABILITY, BatchAxis.DYNAMIC)
    assert isinstance(tabular.details, TabularSpec)
    assert tabular.details.feature_names == ("a", "b")
    assert tabular.details.categories == {1: ("low", "high")}
    assert tabular.details.background is ROWS
    image = parse("image: {layout: HWC, black: 0, white: 255, mean: [1, 2, 3], std: [4, 5, 6]}", nothing)
    assert image.details == ImageSpec("HWC", 0.0, 255.0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    text = parse("text: {mask_token: '[MASK]', mask_id: 103, pad_id: 1}", nothing)
    assert text.details == TextSpec("[MASK]", 103, 1)
    series = parse("time_series: {layout: CT, channel_names: [x, y]}", nothing)
    assert isinstance(series.details, TimeSeriesSpec)
    assert (series.details.layout, series.details.channel_names) == ("CT", ("x", "y"))
    gradient = parse("gradient: {output: g, seed: s, input: x}", nothing)
    assert gradient.gradient == GradientOutput("g", "s", "x")


def test_an_empty_yaml_says_nothing():
    """And so does an empty section, but for the modality."""
    assert parse("", nothing).modality is None
    assert isinstance(parse("image:", nothing).details, ImageSpec)
    assert isinstance(parse("# nothing yet", nothing), ModelSpec)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modalty: image", "did you mean 'modality'"),
        ("image: {layuot: CHW}", "unknown key 'layuot' in image; did you mean 'layout'"),
        ("colour: red", "known keys are modality"),
        ("modality: picture", "must be one of tabular, image"),
        ("labels: cat", "labels must be a list"),
        ("labels: [yes, no]", "in quotes"),
        ("image: {mean: [a]}", "image.mean must be a number"),
        ("image: {layout: WHC}", "image.layout must be one of CHW"),
        ("text: {mask_id: 1.5}", "must be an integer"),
        ("output: 3", "output must be a text"),
        ("tabular: {categories: [a]}", "must map column numbers"),
        ("tabular: {categories: {a: [b]}}", "must be an integer"),
        ("tabular: {}\nimage: {}", "only one of tabular, image"),
        ("modality: image\ntabular: {}", "modality is image but the section is tabular"),
        ("- a list", "must be a mapping"),
        ("gradient: {seed: s}", "gradient.output is missing"),
        ("gradient: {outputs: g}", "did you mean 'output'"),
        ("a: !!python/object:os.system x", "no YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_place_and_the_remedy(text, said):
    """A key that nobody knows is an error: a misspelt one that is ignored would be worse."""
    with pytest.raises(DescriptionError) as caught:
        parse(text, nothing)
    assert said in str(caught.value)
