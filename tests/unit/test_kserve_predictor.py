"""The predictor behind us: what a look at a server shows, over real sockets, and what callers notice of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.redis import free_port
from tests.remote.web import Request, Response, Web, web

from whybox.v1 import explain_pb2
from whybox_server.api.tensors import from_array
from whybox_server.core.errors import EndpointRefused, EndpointUnreachable, InvalidRequest
from whybox_server.kserve import predictor
from whybox_server.kserve.asked import Asked
from whybox_server.kserve.behind import entry
from whybox_server.kserve.inferred import ONLY, inputs_of
from whybox_server.kserve.predictor import Found, Predictor, look
from whybox_server.serving.remote.declared import parse
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.transport.carrier import Carrier, carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

INPUTS = [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
NOTHING = Response(404, {"error": "nothing here"})
V1_READY = {"/v1/models/m": Response(200, {"name": "m", "ready": True})}


def way(endpoint: Endpoint) -> Carrier:
    return carrier_to(endpoint, Dialler(egress_of([])), Wallet())


def declared(url: str, protocol: str = "auto") -> Endpoint:
    given = {"m": entry("m", url, protocol, tls=False, timeout_s=600.0)}
    return parse("", Path(), given).endpoints["endpoints/m"]


def pages(found: Mapping[str, Response]) -> Callable[[Request], Response]:
    return lambda request: found.get(request.path, NOTHING)


def v2(inputs: list[dict[str, Any]], ready: int = 200) -> dict[str, Response]:
    return {
        "/v2/models/m": Response(200, {"name": "m", "platform": "", "inputs": inputs, "outputs": []}),
        "/v2/models/m/ready": Response(ready, {"name": "m", "ready": ready == 200}),
    }


@pytest.mark.parametrize(
    ("found", "protocol", "shown"),
    [
        (v2(INPUTS), "auto", Found(Speech.OIP_REST, silent=False)),
        (v2(INPUTS), "v2", Found(Speech.OIP_REST, silent=False)),
        (V1_READY, "auto", Found(Speech.KSERVE_V1, silent=True)),
        (V1_READY, "v1", Found(Speech.KSERVE_V1, silent=True)),
        (v2([]), "auto", Found(Speech.OIP_REST, silent=True)),
        (v2([]) | V1_READY, "auto", Found(Speech.KSERVE_V1, silent=True)),
        (v2(INPUTS) | V1_READY, "auto", Found(Speech.OIP_REST, silent=False)),
        (v2(INPUTS) | V1_READY, "v1", Found(Speech.KSERVE_V1, silent=True)),
    ],
    ids=["v2", "said v2", "v1", "said v1", "v2 without inputs", "both, no inputs", "both", "both, said v1"],
)
def test_a_look_shows_what_a_server_speaks(found: dict[str, Response], protocol: str, shown: Found) -> None:
    """KServe's metadata pages are the oracle: what has named inputs is V2, what has a name alone is V1."""
    with web(pages(found)) as server:
        assert look(declared(server.url, protocol), way, {}) == shown
        assert not server.asked, "a look makes no model work"


def test_a_model_that_is_being_loaded_is_not_ready() -> None:
    """It has metadata already, as KServe's and Triton's models do."""
    with web(pages(v2(INPUTS, ready=503))) as server:
        with pytest.raises(EndpointRefused, match="not ready yet") as refused:
            look(declared(server.url), way, {})
        assert refused.value.details["status"] == "503"


def test_where_nobody_listens_a_look_says_so(free: int) -> None:
    with pytest.raises(EndpointUnreachable, match="endpoints/m did not answer"):
        look(declared(f"127.0.0.1:{free}"), way, {})


@pytest.fixture
def free() -> int:
    return free_port()


class Told:
    """Hears whether the predictor answers."""

    def __init__(self) -> None:
        self.heard: list[bool] = []
        self.changed = asyncio.Event()

    async def __call__(self, answers: bool) -> None:
        self.heard.append(answers)
        self.changed.set()

    async def next(self) -> bool:
        await asyncio.wait_for(self.changed.wait(), 20)
        self.changed.clear()
        return self.heard[-1]


def test_readiness_follows_the_predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ready before its first answer, ready with it, not ready when it is gone, and ready again."""
    monkeypatch.setattr(predictor, "SEEN_S", 0.05)
    monkeypatch.setattr(predictor, "UNSEEN_S", 0.05)
    state: dict[str, dict[str, Response]] = {"now": {}}

    async def scene(server: Web) -> list[bool]:
        told = Told()
        watched = Predictor(declared(server.url), way, told)
        await watched.start()
        assert not await told.next()
        state["now"] = v2(INPUTS)
        assert await told.next()
        state["now"] = v2(INPUTS, ready=503)
        assert not await told.next()
        state["now"] = V1_READY
        assert await told.next()
        assert watched.found == Found(Speech.KSERVE_V1, silent=True)
        await watched.close()
        return told.heard

    with web(lambda request: state["now"].get(request.path, NOTHING)) as server:
        assert asyncio.run(scene(server)) == [False, True, False, True]


def test_a_predictor_that_knows_its_callers_only_answers_all_the_same() -> None:
    """401 is an answer; what it speaks is found out with the headers of a caller."""

    def guarded(request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer right":
            return Response(401, {"error": "who are you?"})
        return v2(INPUTS).get(request.path, NOTHING)

    async def scene(server: Web) -> None:
        told = Told()
        watched = Predictor(declared(server.url), way, told)
        await watched.start()
        assert [await told.next(), await told.next()] == [False, True]
        seen = await watched.through(named, {"authorization": "Bearer right", "cookie": "mine"})
        assert seen.speech is Speech.OIP_REST
        assert not any("cookie" in request.headers for request in server.seen)
        with pytest.raises(EndpointRefused, match="401"):
            await Predictor(declared(server.url), way, told).through(named, {"authorization": "Bearer wrong"})
        await watched.close()

    with web(guarded) as server:
        asyncio.run(scene(server))


def test_a_caller_with_a_wrong_word_takes_readiness_from_nobody() -> None:
    """The predictor's 401 is about him; others are answered as before, and probes hear nothing of it."""

    def guarded(request: Request) -> Response:
        if request.headers.get("authorization") == "Bearer wrong":
            return Response(401, {"error": "who are you?"})
        return v2(INPUTS).get(request.path, NOTHING)

    async def refused(endpoint: Endpoint) -> None:
        raise EndpointRefused("401", status=401)

    async def scene(server: Web) -> None:
        told = Told()
        watched = Predictor(declared(server.url), way, told)
        await watched.through(named, {})
        with pytest.raises(EndpointRefused, match="401"):
            await watched.through(refused, {"authorization": "Bearer wrong"})
        assert (watched.answers, told.heard) == (True, [True])
        assert watched.found == Found(Speech.OIP_REST, silent=False)

    with web(guarded) as server:
        asyncio.run(scene(server))


def test_rows_are_objects_where_the_caller_wrote_objects() -> None:
    """The Open Inference Protocol has no tensors without names: its only one is no column of that name."""

    async def scene(server: Web) -> None:
        watched = Predictor(declared(server.url), way, Told())
        row = explain_pb2.Instance()
        row.tensors.by_name["x"].CopyFrom(from_array(np.zeros(4)))
        assert not (await watched.through(named, {}, Asked((row,)))).objects
        assert (await watched.through(named, {}, Asked((row,), rows=[{"x": [0.0] * 4}]))).objects
        nameless = explain_pb2.Instance()
        nameless.tensors.by_name[""].CopyFrom(from_array(np.zeros(4)))
        assert not (await watched.through(named, {}, Asked((nameless,), rows=[[0.0] * 4]))).objects

    with web(pages(V1_READY)) as server:
        asyncio.run(scene(server))


async def named(endpoint: Endpoint) -> Endpoint:
    return endpoint


def test_work_is_done_again_for_a_predictor_that_changed_its_protocol() -> None:
    """Once, and only if it did."""
    state = {"now": v2(INPUTS)}

    async def scene(server: Web) -> None:
        watched = Predictor(declared(server.url), way, Told())
        tried: list[Speech] = []

        def work(speech: Speech) -> Callable[[Endpoint], Awaitable[str]]:
            async def done(endpoint: Endpoint) -> str:
                tried.append(endpoint.speech)
                if endpoint.speech is not speech:
                    raise EndpointRefused("404")
                return "done"

            return done

        assert await watched.through(work(Speech.OIP_REST), {}) == "done"
        state["now"] = V1_READY
        assert await watched.through(work(Speech.KSERVE_V1), {}) == "done"
        with pytest.raises(EndpointRefused):
            await watched.through(work(Speech.OIP_REST), {})
        assert tried == [Speech.OIP_REST, Speech.OIP_REST, Speech.KSERVE_V1, Speech.KSERVE_V1]

    with web(lambda request: state["now"].get(request.path, NOTHING)) as server:
        asyncio.run(scene(server))


def test_what_a_silent_model_takes_is_what_it_is_given() -> None:
    """Names, kinds and shapes out of the instances; axes that differ are open."""
    def tensors(**arrays: np.ndarray[Any, Any]) -> explain_pb2.Instance:
        found = explain_pb2.Instance()
        for name, array in arrays.items():
            found.tensors.by_name[name.replace("_", "")].CopyFrom(from_array(array))
        return found

    one, other = tensors(_=np.zeros((2, 3))), tensors(_=np.zeros((2, 5), np.int64))
    [found] = inputs_of([one, other], "endpoints/m")
    assert (found.name, found.dtype, found.shape) == (ONLY, "float64", (2, None))
    [text] = inputs_of([explain_pb2.Instance(text="a")], "endpoints/m")
    assert (text.dtype, text.shape) == ("object", ())
    both = inputs_of([tensors(b=np.zeros(2, np.float32), a=np.zeros(3, np.int64))], "endpoints/m")
    assert [(one.name, one.dtype, one.shape) for one in both] == [("a", "int64", (3,)), ("b", "float32", (2,))]
    with pytest.raises(InvalidRequest, match=r"instances\[1\].*another rank"):
        inputs_of([one, tensors(_=np.zeros(3))], "endpoints/m")
    with pytest.raises(InvalidRequest, match=r"declare `inputs` and `spec` of endpoints/m"):
        inputs_of([explain_pb2.Instance(picture=from_array(np.zeros((2, 2, 3), np.uint8)))], "endpoints/m")
