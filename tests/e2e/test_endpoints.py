"""Models behind endpoints, from the client to a real server on loopback and back.

The oracle is nearly always the model itself: the same ONNX file explained without an endpoint.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.e2e.serving import running
from tests.models.nets import mlp
from tests.models.nets import net as network
from tests.remote.generic import generic
from tests.remote.onnx_rest import onnx_rest, rows_asked
from tests.remote.tfserving import LABELS
from tests.remote.web import Request, Response, Web, web

import whybox
from whybox.cli import main
from whybox.operations import one
from whybox.v1 import spec_pb2
from whybox.wire import Ask
from whybox_server.graph.gradient import differentiate

LOOPBACK = ["127.0.0.0/8"]
X = np.array([0.3, -0.2, 1.0, 0.5, -1.0], np.float32)
ROW = np.array([1.0, 2.0, -0.5], np.float32)
NET = mlp(np.float32)
FILE = NET.SerializeToString()
BLACK_BOX = ("lime", "occlusion", "anchors", "kernel_shap", "shapley_sampling", "erasure", "streak", "cem")
SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(scope="module")
def client() -> Iterator[whybox.Client]:
    with whybox.local(allow_egress=LOOPBACK, cores=2) as connected:
        yield connected


@pytest.fixture
def served() -> Iterator[Web]:
    models = {"net": FILE, "net_gradient": differentiate(NET).SerializeToString()}
    with onnx_rest(models, version="3") as server:
        yield server


def background(rows: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)


def spec(**more: Any) -> whybox.ModelSpec:
    return whybox.ModelSpec.tabular(background=background(), **more)


def net(server: Web, **more: Any) -> whybox.Endpoint:
    return whybox.Endpoint(server.url, **{"model": "net", "spec": spec(), "revision": "r1", **more})


def lists(server: Web, **more: Any) -> whybox.Endpoint:
    """The generic JSON server: three columns, two probabilities."""
    mapping = {"request": {"rows": "$rows"}, "scores": "result.scores"}
    options = {"protocol": "json", "json": mapping, "inputs": {"x": (3,)}, "revision": "r1"}
    return whybox.Endpoint(f"{server.url}/lists", **{**options, **more})


@pytest.mark.parametrize("method", BLACK_BOX)
def test_a_method_says_the_same_through_an_endpoint(client: whybox.Client, served: Web, method: str) -> None:
    """The file itself, explained as probabilities, is the oracle; floats in JSON are exact."""
    few = {"lime": {"num_samples": 200}, "kernel_shap": {"num_background": 3}}.get(method, {})
    how = {
        "method": method,
        "space": "probability",
        "spec": spec(labels=["a", "b", "c"], score="probability"),
    }
    remote = client.explain(net(served), X, **how, **few)
    own = client.explain(FILE, X, **{**how, "spec": spec(labels=["a", "b", "c"])}, **few)
    assert (remote.kind, remote.target.label) == (own.kind, own.target.label)
    if remote.kind == "attribution":
        np.testing.assert_allclose(remote.values, own.values, atol=1e-5)  # softmax in float32, cut or not
    assert remote.provenance.protocol == "oip-rest"
    assert remote.provenance.model_version == "3"
    assert remote.provenance.model_digest.startswith("endpoint-")


@pytest.mark.parametrize("space", ["logit", "probability"])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smooth_grad"])
def test_gradients_come_from_the_model_that_differentiate_wrote(
    client: whybox.Client, served: Web, method: str, space: str
) -> None:
    """Of probabilities they are the file's own; of log-odds, those over p (1 - p), by the chain rule."""
    gradient = {"output": "whybox_gradient", "seed": "whybox_seed"}
    told = whybox.ModelSpec.tensor(gradient=gradient, output="y")
    endpoint = net(served, gradient_model="net_gradient", spec=told)
    remote = client.explain(endpoint, X, method, space=space)
    plain = whybox.ModelSpec.tensor(score="probability")
    own = client.explain(FILE, X, method, space="probability", spec=plain)
    if space == "probability":
        np.testing.assert_allclose(remote.values, own.values, rtol=1e-4, atol=1e-6)
    elif method == "gradient":
        p = own.target.score
        np.testing.assert_allclose(remote.values, own.values / (p * (1 - p)), rtol=1e-4)
    assert any("net_gradient" in warning for warning in remote.warnings)


def test_what_needs_the_graph_says_why_it_cannot_be_had(client: whybox.Client, served: Web) -> None:
    """LRP needs nodes; gradients need a gradient_model. Nothing is asked for the refusal."""
    for method in ("lrp", "gradient"):
        with pytest.raises(whybox.ExplainError) as refused:
            client.explain(net(served, spec=spec(labels=["a", "b", "c"], score="probability")), X, method)
        assert refused.value.reason == "METHOD_UNSUPPORTED_FOR_MODEL"
    assert rows_asked(served) == 0


def test_a_plan_asks_nothing_and_says_rows_calls_and_cost(client: whybox.Client, served: Web) -> None:
    """200 rows in calls of 32 are 7 calls: 7 x 0.5 + 200 x 0.01 = 5.5."""
    endpoint = net(served, rows_per_call=32, per_call=0.5, per_row=0.01, currency="EUR")
    plan = client.plan(endpoint, X, "lime", num_samples=200)
    assert (plan.rows, plan.calls, plan.currency) == ((200,), 7, "EUR")
    assert plan.cost == pytest.approx(5.5)
    assert rows_asked(served) == 0
    assert any("first row" in note for note in plan.notes)
    client.explain(endpoint, X, "lime", num_samples=200)
    assert len(served.asked) == 1 + 7  # the row that settled what the scores are, and the plan
    assert client.plan(FILE, X, "lime").calls is None


def test_the_same_question_is_paid_once(client: whybox.Client, served: Web) -> None:
    """The cache answers the second time, and the row that introduced the endpoint is one of the rows."""
    first = client.explain(net(served), X, "lime", num_samples=100)
    assert rows_asked(served) == 100 == first.usage.rows_sent
    again = client.explain(net(served), X, "lime", num_samples=100)
    assert rows_asked(served) == 100
    assert again.usage.rows_sent == 0
    client.explain(net(served, revision="r2"), X, "lime", num_samples=100)
    assert rows_asked(served) == 200  # another revision is another model


def test_an_unpinned_version_says_so(client: whybox.Client, served: Web) -> None:
    """Whoever pins neither version nor revision is told how long answers are kept."""
    loose = client.explain(net(served, revision=None), X, "occlusion")
    pinned = client.explain(net(served, revision=None, version="3"), X, "occlusion")
    assert any(guess.startswith("version:") for guess in loose.provenance.guesses)
    assert not any(guess.startswith("version:") for guess in pinned.provenance.guesses)


def test_rows_per_request_is_a_limit_of_the_endpoint(client: whybox.Client, served: Web) -> None:
    """LIME makes do with 50 rows and says so; with 2 there is no answer, and the endpoint's limit is why."""
    part = client.explain(net(served, rows_per_request=50), X, "lime", num_samples=200, max_queries=100)
    assert not part.complete
    assert rows_asked(served) <= 50
    served.seen.clear()
    with pytest.raises(whybox.ExplainError) as spent:
        client.explain(net(served, rows_per_request=2, revision="r3"), X, "lime", num_samples=200)
    assert spent.value.reason == "ENDPOINT_BUDGET_SPENT"
    assert spent.value.details["unit"] == "rows per request"
    assert rows_asked(served) <= 2


def test_a_days_calls_are_exact(client: whybox.Client, served: Web) -> None:
    """Three calls a day are three calls, whatever is asked and however often."""
    endpoint = net(served, calls_per_day=3, rows_per_call=8)
    for _ in range(2):
        with pytest.raises(whybox.ExplainError) as spent:
            client.explain(endpoint, X, "lime", num_samples=200)
        assert spent.value.reason == "ENDPOINT_BUDGET_SPENT"
    end = time.monotonic() + 10
    while len(served.asked) < 3 and time.monotonic() < end:  # the refusal may overtake a call on its way
        time.sleep(0.01)
    assert len(served.asked) == 3


def test_labels_alone_are_enough_for_rules(client: whybox.Client) -> None:
    """Anchors look at nothing but the answer; LIME does not pretend that 0 and 1 are scores."""
    mapping = {"request": {"rows": "$rows"}, "scores": "", "labels": "labels"}
    with generic() as server:
        rows = np.random.default_rng(0).normal(size=(200, 3))
        told = whybox.ModelSpec.tabular(background=rows, labels=list(LABELS))
        endpoint = whybox.Endpoint(
            f"{server.url}/labels", protocol="json", json=mapping, inputs={"x": (3,)}, spec=told
        )
        rule = client.explain(endpoint, ROW, "anchors")
        assert rule.message.rule.precision > 0.9
        with pytest.raises(whybox.ExplainError, match="labels alone") as refused:
            client.explain(endpoint, ROW, "lime")
        assert "anchors" in refused.value.details["alternatives"]


def test_eight_words_are_at_most_256_paid_rows(client: whybox.Client) -> None:
    """LIME asks every combination of eight words once, and none twice; the score is the text's length."""
    words = "one two three four five six seven eight"
    mapping = {"request": {"texts": "$rows"}, "scores": "scores"}
    with generic() as server:
        endpoint = whybox.Endpoint(
            f"{server.url}/texts", protocol="json", json=mapping, inputs={"text": ("str", ())}, revision="1"
        )
        e = client.explain(endpoint, words, "lime")
        rows = [text for request in server.asked for text in request.json["texts"]]
    assert len(rows) == len(set(rows)) <= 256
    assert e.usage.rows_sent - len(rows) in (0, 1)  # the introduction is counted, and answers for its row later
    assert e.message.subject.modality == spec_pb2.MODALITY_TEXT


def test_a_probe_finds_out_whether_answers_repeat_and_later_answers_say_so(client: whybox.Client) -> None:
    """One server says the same again, one adds the number of the call to every score."""
    count = iter(range(10**6))
    with generic() as steady, web(lambda request: noisy(request.json, next(count))) as loud:
        found = client.endpoints.probe(lists(steady))
        assert found.deterministic
        assert client.explain(lists(steady), ROW, "occlusion").provenance.determinism == found.determinism
        found = client.endpoints.probe(lists(loud), row=ROW)
        assert not found.deterministic
        assert len(loud.asked) == found.calls == 4


def noisy(body: Any, number: int) -> Response:
    return Response(200, {"result": {"scores": [[1.0 + number, 2.0] for _ in body["rows"]]}})


def test_endpoints_are_created_listed_used_and_forgotten(client: whybox.Client, served: Web) -> None:
    """By name they are models like others; a name that is gone is a clear error."""
    made = client.endpoints.create("churn", net(served, requests_per_second=1000))
    assert made.name == "endpoints/churn"
    assert [one.name for one in client.endpoints.list()] == ["endpoints/churn"]
    assert client.endpoints.get("churn") == made
    assert client.explain("endpoints/churn", X, "occlusion").provenance.model == "endpoints/churn"
    fits = {method.name: method.not_applicable for method in client.methods("endpoints/churn")}
    assert fits["lime"] == ""
    assert "no graph" in fits["lrp"]
    assert client.endpoints.create("churn", net(served, requests_per_second=1000)) == made
    with pytest.raises(whybox.ExplainError, match="another endpoint already"):
        client.endpoints.create("churn", net(served, model="other"))
    client.endpoints.delete(made.name)
    with pytest.raises(whybox.ExplainError, match="no endpoint") as gone:
        client.explain("endpoints/churn", X, "occlusion")
    assert gone.value.code == "NOT_FOUND"


def test_the_asynchronous_client_does_the_same(served: Web) -> None:
    """One round through `aio` against a server process."""

    async def round_trip(address: str) -> tuple[str, int]:
        async with whybox.aio.Client(address) as connected:
            await connected.endpoints.create("a", net(served))
            names = [one.name for one in await connected.endpoints.list()]
            e = await connected.explain("endpoints/a", X, "occlusion")
            await connected.endpoints.delete("a")
            return names[0], e.usage.rows_sent

    with running("--inline-endpoints", "--allow-egress", "127.0.0.1", models=None) as server:
        name, rows = asyncio.run(round_trip(server.address))
    assert name == "endpoints/a"
    assert rows > 0


@pytest.mark.parametrize("instances", [1, 4])
def test_a_path_that_finds_nothing_is_paid_once(client: whybox.Client, instances: int) -> None:
    """What the scores are is declared, so that nothing is asked beforehand; eight calls at once might go."""
    mapping = {"request": {"rows": "$rows"}, "scores": "result.nothing"}
    with generic() as server:
        told = whybox.ModelSpec.tabular(
            background=background()[:, :3], labels=["a", "b", "c"], score="probability"
        )
        wrong = lists(server, json=mapping, spec=told, rows_per_call=8)
        with pytest.raises(whybox.ExplainError, match="finds nothing"):
            client.explain_many(wrong, [ROW + i for i in range(instances)], "lime", num_samples=200)
        assert len(server.asked) == 1


def test_a_server_that_does_not_allow_it_takes_no_endpoint_of_a_caller(served: Web) -> None:
    """Inline and created ones are refused with the remedy, and nobody is asked."""
    with whybox.local(inline_endpoints=False, cores=1) as closed:
        for call in (
            lambda: closed.explain(net(served), X, "lime"),
            lambda: closed.endpoints.create("x", net(served)),
            lambda: closed.endpoints.probe(net(served)),
        ):
            with pytest.raises(whybox.ExplainError, match="--inline-endpoints"):
                call()
    assert not served.seen


def test_addresses_that_nobody_allowed_are_not_asked(served: Web) -> None:
    """Loopback is denied by default, also for a server inside this process."""
    with whybox.local(cores=1) as strict, pytest.raises(whybox.ExplainError) as denied:
        strict.explain(net(served), X, "lime")
    assert denied.value.reason == "EGRESS_DENIED"
    with whybox.local(cores=1) as strict, pytest.raises(whybox.ExplainError) as denied:
        strict.endpoints.create("net", net(served))
    assert denied.value.reason == "EGRESS_DENIED"
    assert not served.seen


DECLARED = """
credentials:
  key: {file: key.txt, header: x-api-key, prefix: "", hosts: [127.0.0.1]}
  other: {env: WHYBOX_TEST_NOT_SET, hosts: [models.example.com]}
endpoints:
  net:
    url: URL
    model: net
    version: "3"
    credential: key
    forward: [authorization, x-request-id, traceparent]
    spec: {labels: [a, b, c], score: probability}
    limits: {rows_per_call: 16}
"""


@pytest.fixture
def declared(served: Web, tmp_path: Path) -> Path:
    (tmp_path / "key.txt").write_text(SECRET + "\n")
    file = tmp_path / "endpoints.yaml"
    file.write_text(DECLARED.replace("URL", served.url))
    return file


def test_what_the_operator_declares_is_there_with_its_credential(served: Web, declared: Path) -> None:
    """The secret reaches the server in its header, synthetic traffic is marked, and no echo shows the secret."""
    with whybox.local(endpoints=declared, cores=1) as client:
        e = client.explain("endpoints/net", X, "occlusion")
        assert {request.headers["x-api-key"] for request in served.seen} == {SECRET}
        assert {request.headers["seldon-skip-logging"] for request in served.seen} == {"true"}
        assert e.targets[0].label in ("a", "b", "c")
        shown = client.endpoints.get("endpoints/net")
        assert shown.message.credential == "key"
        assert SECRET not in repr(shown.message) + e.to_json() + repr(client.endpoints.list())
        with pytest.raises(whybox.ExplainError, match="operator"):
            client.endpoints.delete("endpoints/net")


def test_a_credential_goes_to_its_own_hosts_only(served: Web, declared: Path) -> None:
    """A caller may name it for his own endpoint at that host, and nowhere else."""
    with whybox.local(endpoints=declared, allow_egress=LOOPBACK, cores=1) as client:
        client.explain(net(served, credential="key"), X, "occlusion")
        assert served.asked[-1].headers["x-api-key"] == SECRET
        with pytest.raises(whybox.ExplainError, match="may not be sent"):
            client.explain(net(served, credential="other"), X, "occlusion")
        with pytest.raises(whybox.ExplainError, match="no credential 'nope'"):
            client.explain(net(served, credential="nope"), X, "occlusion")


def test_a_callers_headers_are_passed_on_where_the_operator_says_so(served: Web, declared: Path) -> None:
    """Two callers share neither calls nor answers; a request's number alone does not part them."""
    with running("--endpoints", str(declared), models=None) as server:

        def ask(token: str, number: str) -> int:
            metadata = [("authorization", token), ("x-request-id", number), ("x-other", "no")]
            with whybox.Client(server.address, metadata=metadata) as client:
                return client.explain("endpoints/net", X, "occlusion").usage.rows_sent

        assert ask("Bearer alice-alice", "1") > 0
        assert ask("Bearer bob-bob-bob", "2") > 0
        assert ask("Bearer alice-alice", "3") == 0
        log = "".join(server.raw)
    seen = [(one.headers.get("authorization"), one.headers.get("x-request-id")) for one in served.asked]
    assert set(seen) == {("Bearer alice-alice", "1"), ("Bearer bob-bob-bob", "2")}
    assert all("x-other" not in one.headers for one in served.seen)
    assert "alice-alice" not in log
    assert SECRET not in log


def test_the_operator_may_say_which_host_a_call_is_for(served: Web, tmp_path: Path) -> None:
    """An ingress routes by it; a caller's endpoint may not name one."""
    file = tmp_path / "endpoints.yaml"
    file.write_text(f"endpoints: {{net: {{url: '{served.url}', model: net, headers: {{Host: net.example}}}}}}")
    with whybox.local(endpoints=file, allow_egress=LOOPBACK, cores=1) as client:
        client.explain("endpoints/net", X, "occlusion")
        assert {request.headers["host"] for request in served.seen} == {"net.example"}
        with pytest.raises(whybox.ExplainError, match="no header that can be declared"):
            client.explain(net(served, headers={"Host": "net.example"}), X, "occlusion")


def test_the_gradient_model_has_versions_of_its_own(client: whybox.Client, served: Web) -> None:
    """Version 3 is the model's; nobody says that its gradient has one of that number."""
    gradient = {"output": "whybox_gradient", "seed": "whybox_seed"}
    told = whybox.ModelSpec.tensor(gradient=gradient, output="y")
    endpoint = net(served, version="3", gradient_model="net_gradient", spec=told)
    client.explain(endpoint, X, "gradient", space="probability")
    paths = {request.path for request in served.seen if request.path.startswith("/v2/models/")}
    assert {path for path in paths if "gradient" not in path} == {
        "/v2/models/net/versions/3",
        "/v2/models/net/versions/3/infer",
    }
    assert {path for path in paths if "gradient" in path} == {
        "/v2/models/net_gradient",
        "/v2/models/net_gradient/infer",
    }


@pytest.mark.parametrize(("after", "reason"), [(0, "ENDPOINT_UNREACHABLE"), (20, "DEADLINE|ENDPOINT_UNREACHABLE")])
def test_an_explanation_that_is_cut_off_says_how_far_it_was(client: whybox.Client, after: int, reason: str) -> None:
    """The server hangs up after so many calls of 64 rows; rows count when their whole block is there."""
    count = iter(range(10**6))

    def answer(request: Request) -> Response:
        if next(count) >= after:
            raise ConnectionResetError
        return Response(200, {"result": {"scores": [[0.5, 0.5] for _ in request.json["rows"]]}})

    with web(answer) as server:
        told = whybox.ModelSpec.tabular(background=background()[:, :3], labels=["a", "b"], score="probability")
        endpoint = lists(server, spec=told, rows_per_call=64)
        with pytest.raises(whybox.ExplainError) as cut:
            client.explain(endpoint, ROW, "lime", num_samples=2000, timeout=1.5)
    assert cut.value.reason in reason.split("|")
    done, planned = (int(cut.value.details[name]) for name in ("rows_done", "rows_planned"))
    assert (done > 0) == (after > 0)
    assert done <= 64 * after
    assert planned == (2000 if after else 0)  # before the first row says what scores are, nothing is planned


def test_many_instances_share_the_calls_of_an_endpoint(client: whybox.Client, served: Web) -> None:
    """Eight instances of occlusion, 6 rows each, are fewer calls than instances."""
    rows = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    many = client.explain_many(net(served), rows, "occlusion")
    alone = [client.explain(FILE, row, "occlusion", space="probability", spec=spec()) for row in rows]
    assert [e.target.index for e in many] == [e.target.index for e in alone]
    assert len(served.asked) < 8


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"model": "nope", "protocol": "oip-rest"}, "ENDPOINT_REFUSED", "model's name"),
        ({"protocol": "tfserving-rest"}, "INVALID_FIELD|ENDPOINT_REFUSED", ""),
        ({"rows_per_call": -1}, "INVALID_FIELD", "limits.rows_per_call"),
        ({"headers": {"cookie": "a=b"}}, "INVALID_FIELD", "credential"),
        ({"forward": ["authorization"]}, "INVALID_FIELD", "operator"),
        ({"gradient_model": "net_gradient"}, "INVALID_FIELD", "spec.gradient"),
        ({"json": {"scores": "a"}, "protocol": "oip-rest"}, "INVALID_FIELD", "protocol json"),
    ],
)
def test_a_wrong_declaration_is_refused_before_a_row_is_asked(
    client: whybox.Client, served: Web, options: dict[str, Any], reason: str, words: str
) -> None:
    """Each is told by its field, with what to do."""
    with pytest.raises(whybox.ExplainError) as refused:
        client.explain(net(served, **options), X, "lime")
    assert refused.value.reason in reason.split("|")
    assert words in str(refused.value)
    assert not [request for request in served.asked if request.path.endswith("/infer")]


def test_nobody_there_is_said_with_address_and_attempts(client: whybox.Client) -> None:
    """A port that nothing listens on. gRPC's own retries are told not to do it all again."""
    with web(lambda request: Response(200, {})) as gone:
        url = gone.url
    with pytest.raises(whybox.ExplainError) as nobody:
        client.explain(whybox.Endpoint(url, protocol="oip-rest", model="m"), X, "lime")
    assert nobody.value.reason == "ENDPOINT_UNREACHABLE"
    assert nobody.value.details["address"] in url
    assert json.loads(nobody.value.details["attempts"]) > 1
    ref, request = one(whybox.Endpoint(url, protocol="oip-rest", model="m"), X, Ask("lime"))
    assert not ref.name
    with pytest.raises(grpc.RpcError) as unavailable:
        client._stubs["Explain"](request)
    assert ("grpc-retry-pushback-ms", "-1") in unavailable.value.trailing_metadata()


def test_the_command_line_explains_plans_probes_and_lists(
    served: Web, declared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A URL that somebody types is reached; what the operator's file declares is listed."""
    np.save(tmp_path / "x.npy", X)
    at = ["--endpoint", served.url, "--endpoint-option", "model=net", "--endpoint-option", "per_call=0.5"]
    ask = ["--input", str(tmp_path / "x.npy"), "--method", "occlusion"]
    assert main(["plan", *at, *ask]) == 0
    assert "costs 0.5" in capsys.readouterr().out
    assert main(["explain", *at, *ask]) == 0
    assert main(["probe", *at, *ask[:2]]) == 0
    assert "deterministic" in capsys.readouterr().out
    assert main(["endpoints", "--endpoints", str(declared)]) == 0
    listing = capsys.readouterr().out
    assert "endpoints/net" in listing
    assert SECRET not in listing


def test_a_wrong_endpoints_file_stops_the_server_before_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`whybox serve` and `whybox.local` say what is wrong and where; neither shows a stack."""
    file = tmp_path / "endpoints.yaml"
    file.write_text("endpoints: {a: {url: 'https://h', modle: x}}")
    with pytest.raises(whybox.ExplainError, match="did you mean 'model'"):
        whybox.local(endpoints=file)
    assert main(["serve", "--endpoints", str(file)]) == 2
    assert "endpoints.yaml: unknown key 'modle' in endpoints.a" in capsys.readouterr().err


def test_one_score_that_speaks_for_two_classes_has_the_gradients_of_both(client: whybox.Client) -> None:
    """f = sigmoid(w.x): log-odds of "yes" have the slope w, those of "no" -w, whatever x."""
    w = np.array([[0.5], [-1.0], [2.0], [0.25], [0.0]], np.float32)
    graph = network("z = MatMul(x, w) y = Sigmoid(z)", {"x": ("n", 5)}, {"w": w}, dtype=np.float32)
    models = {"one": graph.SerializeToString(), "slope": differentiate(graph).SerializeToString()}
    told = whybox.ModelSpec.tensor(
        labels=["no", "yes"],
        score="probability",
        gradient={"output": "whybox_gradient", "seed": "whybox_seed"},
        output="y",
    )
    with onnx_rest(models) as server:
        endpoint = whybox.Endpoint(server.url, model="one", gradient_model="slope", spec=told)
        for label, sign in (("yes", 1), ("no", -1)):
            e = client.explain(endpoint, X, "gradient", target=label, space="logit")
            np.testing.assert_allclose(e.values, sign * w[:, 0], rtol=1e-4, atol=1e-6)
            assert e.target.probability == pytest.approx(
                1 / (1 + np.exp(-sign * float(X @ w[:, 0]))), rel=1e-5
            )
