"""Which rows of an endpoint may share a call, and under which names answers are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.query import Want
from whybox_server.core.rows import Samples
from whybox_server.core.spec import GradientOutput, ModelSpec, ScoreKind
from whybox_server.core.target import Link, Space
from whybox_server.serving.lane import Lane, Mode, Slice
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Credential, Endpoint, Limits, Price, Speech
from whybox_server.serving.remote.exchange import Answer, Call, Described
from whybox_server.serving.remote.first import same, without
from whybox_server.serving.remote.lanes import UNPINNED_TTL_S, hidden
from whybox_server.serving.remote.manners import manners
from whybox_server.serving.remote.model import RemoteModel, model_of
from whybox_server.serving.remote.runner import Room
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.session import Session, identity
from whybox_server.serving.remote.speech import PROTOCOLS

ENDPOINT = Endpoint("https://h", Speech.OIP_REST, model="m", version="1")
X = {"x": np.zeros(3, np.float32)}
DESCRIBED = Described("oip-rest", (RowInfo("x", np.dtype(np.float32), (3,)),), "y", version="1")


class Nowhere:
    """A way that is never taken: lanes are made without asking."""

    def exchange(self, call: Call, timeout_s: float) -> Answer:
        raise AssertionError("nothing is asked here")

    def forwarding(self, headers: object) -> Nowhere:
        return self

    def close(self) -> None: ...


def model(
    endpoint: Endpoint = ENDPOINT,
    described: Described = DESCRIBED,
    spec: ModelSpec = ModelSpec(),  # noqa: B008 - frozen
    headers: dict[str, str] | None = None,
) -> RemoteModel:
    sender = Sender(Nowhere(), manners(endpoint), 1.0)
    session = Session(endpoint, PROTOCOLS[endpoint.speech], described, sender, Room.of(endpoint.limits))
    return model_of(session, spec, headers or {}, endpoint.price)


def lane(found: RemoteModel, mode: Mode = Mode.FAST) -> Lane:
    return found.lane(Want.SCORES, mode, X)


def test_a_model_that_was_read_before_the_first_answer_asks_for_one_itself():
    """Its labels and kind were guesses; another caller's first answer in the meantime makes them no better."""
    early = model()
    assert (early.unseen, early.spec.labels) == (True, ())
    known = early.settle(X, np.array([[0.25, 0.75]]))
    assert early.unseen
    assert not known.unseen
    late = early.settle(X, np.array([[0.25, 0.75]]))
    assert (late.unseen, late.kind, late.labels_for(X)) == (False, known.kind, known.labels_for(X))


@pytest.mark.parametrize(
    "other",
    [
        replace(ENDPOINT, url="https://h2"),
        replace(ENDPOINT, model="m2"),
        replace(ENDPOINT, version="2"),
        replace(ENDPOINT, revision="r"),
        replace(ENDPOINT, headers={"x-tenant": "a"}),
        replace(ENDPOINT, credential=Credential(env="A", name="a")),
        replace(ENDPOINT, speech=Speech.OIP_GRPC),
    ],
)
def test_whatever_answers_may_depend_on_parts_their_names(other: Endpoint) -> None:
    """Each differs from the first in one thing."""
    described = replace(DESCRIBED, speech=other.speech.value)
    assert lane(model(other, described)).fingerprint != lane(model()).fingerprint
    assert identity(other) != identity(ENDPOINT)


def test_how_a_server_is_asked_parts_names() -> None:
    """Another signature of the same model says something else."""
    one, two = (replace(DESCRIBED, manner={"signature": name}) for name in ("serving_default", "logits"))
    assert lane(model(described=one)).fingerprint != lane(model(described=two)).fingerprint


def test_what_answers_do_not_depend_on_leaves_their_names_alone() -> None:
    """Limits, prices and how the tensors are read; a price needs no session of its own either."""
    for other in (replace(ENDPOINT, limits=Limits(rows_per_call=7)), replace(ENDPOINT, price=Price(1.0))):
        assert lane(model(other)).fingerprint == lane(model()).fingerprint
    assert identity(replace(ENDPOINT, price=Price(1.0))) == identity(ENDPOINT)


def test_names_hold_no_secret_and_no_caller_gets_anothers_answer() -> None:
    """Who is asking parts names and calls; which request it is parts calls alone."""
    alice, bob = (
        model(headers={"authorization": "Bearer alice"}),
        model(headers={"authorization": "Bearer bob"}),
    )
    assert lane(alice).fingerprint != lane(bob).fingerprint
    assert b"alice" not in lane(alice).name
    guess = hashlib.blake2b(json.dumps([["x-request-id", "1"]]).encode(), digest_size=32).digest()
    assert hidden({"x-request-id": "1"}) != guess  # else a name would tell whoever guesses the value
    one, two = model(headers={"x-request-id": "1"}), model(headers={"x-request-id": "2"})
    assert lane(one).fingerprint == lane(two).fingerprint == lane(model()).fingerprint
    assert len({lane(one).name, lane(two).name, lane(model()).name}) == 3


@pytest.mark.parametrize(
    ("endpoint", "ttl_s"),
    [
        (ENDPOINT, None),
        (replace(ENDPOINT, version="", revision="r"), None),
        (replace(ENDPOINT, version=""), UNPINNED_TTL_S),
    ],
)
def test_answers_of_a_version_that_nobody_names_are_kept_for_a_minute(
    endpoint: Endpoint, ttl_s: float | None
) -> None:
    """That the server says a version today does not pin the one of tomorrow."""
    assert lane(model(endpoint)).ttl_s == ttl_s


@pytest.mark.parametrize(("version", "revision", "ttl_s"), [("1", "", UNPINNED_TTL_S), ("", "r", None)])
def test_a_version_of_the_model_is_none_of_its_gradient(version: str, revision: str, ttl_s: float | None) -> None:
    """A revision is the operator's word for all that is served. The gradient's own version parts names."""
    told = GradientOutput(output="g", seed="s")
    endpoint = replace(ENDPOINT, version=version, revision=revision, gradient_model="slope")
    digests = set()
    for served in ("1", "2"):
        found = model(endpoint, spec=ModelSpec(gradient=told, labels=("a", "b")))
        inputs = (*DESCRIBED.inputs, RowInfo("s", np.dtype(np.float32), (2,)))
        found.session.gradient = replace(DESCRIBED, inputs=inputs, output="g", version=served)
        assert found.lane(Want.GRADIENT, Mode.FAST, X, outputs=2).ttl_s == ttl_s
        digests.add(found.digest)
    assert len(digests) == 2


def test_a_lane_is_remote_not_padded_and_as_long_as_the_limits() -> None:
    """A reproducible request pays for no copies of rows, and has names of its own."""
    found = lane(model(replace(ENDPOINT, limits=Limits(rows_per_call=7, concurrency=3))), Mode.REPRODUCIBLE)
    assert (found.remote, found.fixed_rows, found.max_rows) == (True, None, 7)
    assert found.fingerprint != lane(model()).fingerprint


def test_all_who_ask_alike_share_a_runner() -> None:
    """Threads belong to a runner; callers with headers of their own have one of their own."""
    found = model()
    assert lane(found).runner is lane(found).runner
    other = replace(found, headers={"authorization": "x"})
    assert lane(other).runner is not lane(found).runner


@pytest.mark.parametrize(
    ("scores", "spec", "kind", "link", "labels"),
    [
        ([[0.25, 0.75]], ModelSpec(), ScoreKind.PROBABILITY, Link.SOFTMAX, ("0", "1")),
        ([[2.0, -1.0]], ModelSpec(), ScoreKind.LOGIT, Link.SOFTMAX, ("0", "1")),
        ([[2.0]], ModelSpec(), ScoreKind.VALUE, Link.SOFTMAX, ("0",)),
        (
            [[0.3]],
            ModelSpec(labels=("no", "yes"), score=ScoreKind.PROBABILITY),
            ScoreKind.PROBABILITY,
            Link.SIGMOID,
            ("no", "yes"),
        ),
        ([[0.3]], ModelSpec(labels=("no", "yes")), ScoreKind.PROBABILITY, Link.SIGMOID, ("no", "yes")),
        ([[-0.3]], ModelSpec(labels=("no", "yes")), ScoreKind.LOGIT, Link.SIGMOID, ("no", "yes")),
        ([[0.9, 0.8]], ModelSpec(labels=("a", "b")), ScoreKind.PROBABILITY, Link.SOFTMAX, ("a", "b")),
        ([[3.0, 0.8]], ModelSpec(labels=("a", "b")), ScoreKind.LOGIT, Link.SOFTMAX, ("a", "b")),
    ],
)
def test_the_first_row_settles_what_the_scores_are(
    scores: list[list[float]],
    spec: ModelSpec,
    kind: ScoreKind,
    link: Link,
    labels: tuple[str, ...],
) -> None:
    """As for a graph that says nothing; one score with two labels is the second one's probability."""
    unknown = model(spec=spec)
    assert unknown.unseen
    found = unknown.settle(X, np.array(scores))
    assert (found.kind, found.link, found.spec.labels, found.unseen) == (kind, link, labels, False)
    assert found.space is (Space.LOGIT if kind is not ScoreKind.VALUE else Space.VALUE)
    assert any(guess.startswith(f"score {kind.value}:") for guess in found.guesses) == (spec.score is None)


def test_nothing_is_left_to_find_out_where_metadata_and_declaration_say_it_all() -> None:
    """Then no row is asked before the method asks."""
    spec = ModelSpec(score=ScoreKind.PROBABILITY)
    assert not model(described=replace(DESCRIBED, columns=2), spec=spec).unseen
    assert model(described=replace(DESCRIBED, columns=2)).unseen
    for labels, unseen in (((), True), (("a",), False), (("a", "b"), True), (("a", "b", "c"), False)):
        told = replace(spec, labels=labels)
        assert model(spec=told).unseen == unseen  # one score may speak for two classes
    assert not model(described=replace(DESCRIBED, columns=1), spec=replace(spec, labels=("a", "b"))).unseen


def test_what_needs_a_graph_is_refused() -> None:
    """Values inside it, and gradients where no model says them."""
    for want in (Want.VALUES, Want.GRADIENT):
        with pytest.raises(MethodUnsupported, match="graph"):
            model().lane(want, Mode.FAST, X, outputs=2)
    assert model().inside(X, 2) is None
    assert "gradient_model" in model().refusal("gradient", "")


def test_a_bill_counts_full_calls_and_gradients_twice() -> None:
    """100 and 1 rows at 64 a call are 3 calls: 3 x 0.5 + 101 x 0.1; with gradients twice that."""
    found = model(replace(ENDPOINT, price=Price(0.5, 0.1, "EUR")))
    bill = found.bill([100, 1], lane(found), gradients=False)
    assert (bill.calls, bill.cost, bill.currency) == (3, pytest.approx(11.6), "EUR")
    twice = found.bill([100, 1], lane(found), gradients=True)
    assert (twice.calls, twice.cost) == (6, pytest.approx(23.2))
    assert model().bill([1], lane(model()), gradients=False).cost is None


def test_seen_is_a_property_of_the_server_and_not_of_a_reader() -> None:
    """Two readings of one session: what the first one found out, the second one knows."""
    first = model()
    session = first.session
    first.settle(X, np.array([[0.5, 0.5]]))
    assert session.seen == meaning.Seen(2, True, row="the first row that was asked", unit=True)
    assert model_of(session, ModelSpec(labels=("a", "b")), {}, Price()).spec.labels == ("a", "b")


def test_the_first_row_is_known_by_its_values_wherever_it_stands() -> None:
    """Two inputs; rows 0 and 3 are the first one again, the others differ in one value; cuts fall anywhere."""
    row = {"x": np.array([1.0, 2.0]), "word": np.array("a", object)}
    rows = {
        "x": np.array([[1, 2], [1, 2.5], [1, 2], [1, 2]], float),
        "word": np.array(["a", "a", "b", "a"], object),
    }
    known = same(rows, row)
    assert known.tolist() == [True, False, False, True]
    assert not same(rows, {"x": np.ones(3), "word": row["word"]}).any()
    every = Samples(rows)
    rest = without([Slice(every, np.array([0])), Slice(every, np.array([1, 2, 3]))], known)
    assert [one.at.tolist() for one in rest] == [[1, 2]]
