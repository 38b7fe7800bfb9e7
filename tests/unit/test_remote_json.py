"""Generic JSON over HTTP: what is declared is checked at once, and replies are read as the paths say."""

from __future__ import annotations

import json

import jmespath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remote.generic import NAMES, generic
from tests.remote.speaking import asked, held, spoken
from tests.remote.tfserving import LABELS, probabilities

from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid
from whybox_server.core.spec import Modality, ModelSpec, TabularSpec
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint, Input, JsonMapping
from whybox_server.serving.remote.exchange import Answer, Described
from whybox_server.serving.remote.speech import json_http
from whybox_server.serving.remote.speech.json_http import check_endpoint, check_mapping
from whybox_server.serving.remote.speech.paths import read
from whybox_server.serving.remote.speech.template import filled
from whybox_server.serving.remote.validate import checked

ROWS = {"x": np.random.default_rng(6).normal(size=(5, 3)).astype(np.float32)}
X = (Input("x", "float32", (3,)),)
SAYS = probabilities(ROWS["x"])
NAMED = ModelSpec(labels=LABELS)
RTOL = 1e-12  # JSON carries float64 exactly; only the order of a sum may differ


@pytest.fixture(scope="module")
def server():
    with generic() as server:
        yield server


def declared(server, path: str, mapping: JsonMapping, spec: ModelSpec = ModelSpec(), inputs=X) -> Endpoint:
    return Endpoint(f"{server.url}{path}", json=mapping, spec=spec, inputs=inputs, trusted=True)


def test_rows_go_as_lists_and_scores_come_by_a_path(server):
    """The oracle is the server's own model, in numpy."""
    mapping = JsonMapping('{"rows": "$rows", "explain": false}', "result.scores")
    described, scores = asked(declared(server, "/lists", mapping), json_http, ROWS)
    np.testing.assert_allclose(scores, SAYS, rtol=RTOL)
    assert described.batched
    assert server.seen[-1].json["explain"] is False


def test_a_row_may_be_a_record_by_column_name(server):
    """One number per row, picked out of a list of objects."""
    spec = ModelSpec(details=TabularSpec(feature_names=NAMES))
    mapping = JsonMapping('{"items": "$records"}', "items[*].score")
    _, scores = asked(declared(server, "/records", mapping, spec, inputs=()), json_http, {"row": ROWS["x"]})
    np.testing.assert_allclose(scores, SAYS[:, 1:], rtol=RTOL)


def test_scores_that_are_sorted_by_size_go_back_into_the_order_of_the_labels(server):
    """Each row sorts differently; both orders occur, so that a fixed one would be wrong."""
    mapping = JsonMapping('{"inputs": "$rows"}', "[*][*].score", "[*][*].label")
    _, scores = asked(declared(server, "/sorted", mapping, NAMED), json_http, ROWS)
    assert len(set(SAYS.argmax(axis=1))) == 2
    np.testing.assert_allclose(scores, SAYS, rtol=RTOL)


def test_an_api_that_takes_one_row_is_asked_once_per_row(server):
    """Scores by label, in the order of the declared labels."""
    mapping = JsonMapping('{"row": "$row"}', "probabilities", one_row_per_call=True)
    before = len(server.seen)
    described, scores = asked(declared(server, "/one", mapping, NAMED), json_http, ROWS)
    np.testing.assert_allclose(scores, SAYS, rtol=RTOL)
    assert not described.batched
    assert len(server.seen) - before == len(ROWS["x"])


def test_labels_alone_are_a_column_and_become_one_and_nought(server):
    """What anchors needs: the label is the highest score."""
    mapping = JsonMapping('{"rows": "$rows"}', "", "labels")
    described, answers = asked(declared(server, "/labels", mapping, NAMED), json_http, ROWS)
    assert described.labels_only
    assert answers.shape == (5, 1)
    scores = checked(answers, 5, described.columns, described.labels)
    np.testing.assert_array_equal(scores.argmax(axis=1), SAYS.argmax(axis=1))


def test_texts_go_as_texts(server):
    """A text model needs no declared inputs."""
    rows = {"text": np.array(["a", "zwölf Äpfel", ""], object)}
    mapping = JsonMapping('{"texts": "$rows", "model": "$$large"}', "scores")
    endpoint = declared(server, "/texts", mapping, ModelSpec(modality=Modality.TEXT), inputs=())
    _, scores = asked(endpoint, json_http, rows)
    assert scores[:, 0].tolist() == [1, 11, 0]
    assert server.seen[-1].json["model"] == "$large"


def test_inputs_may_go_by_column(server):
    """Numbers and texts side by side."""
    rows = {"a": np.array([1, 2], np.int64), "word": np.array(["x", "yyy"], object)}
    inputs = (Input("a", "int64"), Input("word", "object"))
    endpoint = declared(server, "/columns", JsonMapping('{"columns": "$inputs"}', "scores"), inputs=inputs)
    _, scores = asked(endpoint, json_http, rows)
    assert scores[:, 0].tolist() == [2, 5]


def test_nothing_is_asked_to_describe_an_endpoint(server):
    """It has no metadata, and every call may cost money."""
    before = len(server.seen)
    endpoint = declared(server, "/lists", JsonMapping())
    spoken(endpoint, json_http.describe(endpoint))
    assert len(server.seen) == before


def test_a_body_may_be_nothing_but_the_row():
    """A flat object: the template is the placeholder itself."""
    assert filled('"$row"', {"$row": {"age": 3}}) == {"age": 3}


def test_other_texts_of_a_template_stay_as_they_are():
    """Only whole placeholders are replaced, however deep, and one of two dollars goes."""
    found = filled('{"a": ["$rows", "$$rows", {"b": "rows"}], "k": 5}', {"$rows": [1]})
    assert found == {"a": [[1], "$rows", {"b": "rows"}], "k": 5}


WRONG = [
    (JsonMapping('{"instances": $rows}'), "request", "in quotes"),
    (JsonMapping('{"instances": '), "request", "is no JSON"),
    (JsonMapping('{"instances": []}'), "request", "no placeholder"),
    (JsonMapping('{"instances": "$row"}'), "request", "one_row_per_call"),
    (JsonMapping('{"instances": "$record"}'), "request", "$records"),
    (JsonMapping('{"instances": "$instances"}'), "request", "did you mean"),
    (JsonMapping('{"text": "rows: $rows"}'), "request", "inside a longer text"),
    (JsonMapping('{"text": "$rowsandmore", "x": "$rows"}'), "request", "did you mean"),
    (JsonMapping('{"$rows": 1}'), "request", "as a key"),
    (JsonMapping('{"a": 1, "a": "$rows"}'), "request", "twice"),
    (JsonMapping('{"a": NaN, "b": "$rows"}'), "request", "NaN"),
    (JsonMapping("[" * 40 + '"$rows"' + "]" * 40), "request", "nested"),
    (JsonMapping("[" * 100_000), "request", "characters"),
    (JsonMapping("[" * 60_000), "request", "nested"),
    (JsonMapping(scores="predictions[", labels=""), "scores", "no JMESPath"),
    (JsonMapping(scores="a", labels="nope(@)["), "labels", "no JMESPath"),
    (JsonMapping(scores="(" * 50_000), "scores", "no JMESPath"),
    (JsonMapping(method="GET"), "method", "POST or PUT"),
]


@pytest.mark.parametrize(("mapping", "field", "words"), WRONG)
def test_a_mapping_that_cannot_work_is_refused_when_it_is_declared(mapping, field, words):
    """Every violation names its field, and says what to write instead."""
    (violation,) = check_mapping(mapping)
    assert violation.field == field
    assert words in violation.description
    assert len(violation.description) < 300


def test_all_violations_of_a_mapping_are_listed_at_once():
    assert {one.field for one in check_mapping(JsonMapping("{", "a[", "b[", method="PATCH"))} == {
        "request",
        "scores",
        "labels",
        "method",
    }


def test_the_default_mapping_is_sound():
    """And reads what most servers say; labels alone are read where only they are declared."""
    assert check_mapping(JsonMapping()) == []
    assert read(JsonMapping(), {"predictions": [1, 2]}, 2, described_with(())).tolist() == [[1], [2]]
    assert JsonMapping(labels="label").scores_path == ""


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20), st.booleans())
def test_any_mapping_is_sound_or_refused(request, scores, labels, one):
    """Whatever people type, they get violations; what is sound can be filled and compiled."""
    mapping = JsonMapping(request, scores, labels, one_row_per_call=one)
    if not check_mapping(mapping):
        filled(mapping.request, {"$rows": []})
        assert all(jmespath.compile(path) for path in (scores, labels) if path)


def test_labels_without_declared_labels_are_refused_before_the_first_query():
    """Nobody can know in which order scores go; so is a table whose columns have no names or too few."""
    labels = Endpoint("http://h", json=JsonMapping(scores="", labels="labels"), inputs=X)
    assert [one.field for one in check_endpoint(labels)] == ["spec.labels"]
    records = JsonMapping('{"items": "$records"}')
    assert [one.field for one in check_endpoint(Endpoint("http://h", json=records, inputs=X))] == [
        "spec.tabular.feature_names"
    ]
    short = ModelSpec(details=TabularSpec(feature_names=("a", "b")))
    (violation,) = check_endpoint(Endpoint("http://h", json=records, inputs=X, spec=short))
    assert violation.description == "2 names for rows of 3 values"
    with pytest.raises(InvalidRequest, match="endpoint.spec.labels"):
        next(json_http.describe(labels))


def test_inputs_must_be_declared():
    with pytest.raises(InvalidRequest, match=r"endpoint.inputs"):
        next(json_http.describe(Endpoint("http://h")))


REPLIES = [
    (
        "result.scores",
        "",
        {"scores": []},
        "`result.scores` finds nothing; the reply is an object of 1, 'scores'",
    ),
    ("scores", "", {"scores": "a secret"}, "`scores` is a text, not a list of 2 rows"),
    ("scores", "", {"scores": [1, 2, 3]}, "holds 3 rows, and 2 were asked"),
    (
        "scores",
        "",
        {"scores": [[1, 2], [3]]},
        "`scores`[1] is a list of 1, and what comes before it is a list of 2",
    ),
    ("scores", "", {"scores": [[1, 2], [3, "a secret"]]}, "`scores`[1][1] is a text, not a number"),
    ("scores", "", {"scores": [{"no": 1}, {"no": 1, "yes": 2}]}, "'yes' of spec.labels is not among them"),
    (
        "scores",
        "",
        {"scores": [{"no": 1, "yes": 2, "a secret": 3}] * 2},
        "names 3 labels, and spec.labels declares 2",
    ),
    ("scores", "", {"scores": [[10**400], [1]]}, "too large"),
    ("sum(scores)", "", {"scores": ["a secret"]}, "does not fit the reply"),
    ("scores", "names", {"scores": [[1, 2]] * 2, "names": [["no"]] * 2}, "has 2 scores beside 1 labels"),
    ("scores", "names", {"scores": [[1, 2]] * 2, "names": [["no", "no"]] * 2}, "'yes' of spec.labels is not"),
    ("scores", "names", {"scores": [1, 2], "names": [["no", "yes"]] * 2}, "`scores`[0] is a number"),
    ("scores", "names", {"scores": [[1, 2]] * 2, "names": [[["a secret"], "yes"]] * 2}, "not a label"),
    ("", "labels", {"labels": ["no"]}, "`labels` is a list of 1, not a list of 2 labels"),
    ("", "labels", {"labels": ["no", {"a secret": 1}]}, "`labels`[1] is an object of 1, not a label"),
    ("", "labels", {"label": ["no", "no"]}, "`labels` finds nothing"),
]


@pytest.mark.parametrize(("scores", "labels", "reply", "words"), REPLIES)
def test_replies_that_do_not_fit_name_the_path_and_the_type(scores, labels, reply, words):
    """Where, what is there, what to correct; nothing of what the server wrote."""
    mapping = JsonMapping(scores=scores, labels=labels)
    with pytest.raises(ModelOutputInvalid) as caught:
        read(mapping, reply, 2, described_with(LABELS))
    assert words in str(caught.value)
    assert "a secret" not in str(caught.value)
    assert len(str(caught.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3) | st.sampled_from(LABELS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LABELS, "s"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["", "s"]), st.sampled_from(["", "l"]), st.booleans())
def test_any_reply_is_scores_or_a_refusal(reply, scores, labels, one):
    """Rows in, as many rows out, numbers or labels; else ModelOutputInvalid and nothing else."""
    mapping = JsonMapping(scores=scores or ("" if labels else "@"), labels=labels, one_row_per_call=one)
    n = 1 if one else 2
    try:
        found = read(mapping, reply, n, described_with(LABELS))
    except ModelOutputInvalid:
        return
    assert len(found) == n
    assert found.ndim == 2
    assert found.shape[1] >= 1
    assert found.dtype in (np.float64, object)


@pytest.mark.parametrize(
    ("found", "row"),
    [
        ([0.25, 0.75], [0.25, 0.75]),
        ([[0.25, 0.75]], [0.25, 0.75]),
        (0.25, [0.25]),
        ([0.25], [0.25]),
        (True, [1]),
    ],
)
def test_the_scores_of_one_row_may_come_with_or_without_their_batch_axis(found, row):
    mapping = JsonMapping(scores="y", one_row_per_call=True)
    assert read(mapping, {"y": found}, 1, described_with(())).tolist() == [row]


@pytest.mark.parametrize(("found", "label"), [("cat", "cat"), (["cat"], "cat"), (3, "3"), (True, "true")])
def test_the_label_of_one_row_may_be_a_word_a_number_or_a_truth(found, label):
    mapping = JsonMapping(scores="", labels="y", one_row_per_call=True)
    assert read(mapping, {"y": found}, 1, described_with(())).tolist() == [[label]]


def test_float32_rows_arrive_as_the_numbers_they_are():
    """What is sent is read back as the same float32, bit for bit, and as the same float64."""
    rows = {"x": np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)}
    endpoint = Endpoint("http://h", json=JsonMapping(), inputs=X)
    call = next(json_http.ask(endpoint, described_with(()), rows))
    sent = np.array(json.loads(call.body)["instances"])
    np.testing.assert_array_equal(sent, rows["x"].astype(np.float64))
    assert call.path == ""
    assert call.asks


def test_rows_whose_scores_differ_in_number_are_refused():
    """One row per call, and each reply is sound by itself."""
    endpoint = Endpoint("http://h", json=JsonMapping('"$row"', "y", one_row_per_call=True), inputs=X)
    replies = iter([b'{"y": [1, 2]}', b'{"y": [1]}'])
    described = Described("json", (), "", batched=False)
    with pytest.raises(ModelOutputInvalid, match="as many scores"):
        held(json_http.ask(endpoint, described, {"x": ROWS["x"][:2]}), lambda call: Answer(next(replies)))


def described_with(labels) -> Described:
    return Described("json", (RowInfo("x", np.dtype(np.float32), (3,)),), "", labels=labels)
