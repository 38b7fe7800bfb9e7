"""Two replicas are restarted one after the other while everybody calls: nobody may notice.

What happens is what Kubernetes does to a Deployment: SIGTERM to a server that clients are still connected to, and
the next one goes as soon as this one is ready again. Two kinds of callers: whybox's client over both addresses, as a
headless Service gives them, and HTTP/1.1 callers that keep the connection to whichever replica said that it is ready.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from tests.e2e.serving import INPUTS, Server, running
from tests.http_calls import JSON, http_address
from tests.redis import redis_server

import whybox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # servers start six times, and others may use the cores

DIGIT = np.load(INPUTS / "digit.npy")
PICTURE = INPUTS / "brick_and_grass.png"
SEEDS = range(6)
GRPC_CALLERS, HTTP_CALLERS = 4, 2
CALLS_PER_S = 20  # of the Python clients together, and half as many over HTTP
MASKS = 1500  # a call of a second
PATIENCE_S = 60
STARTS = 5  # a port that was free when its server ended may be somebody's for a moment
FEW = 5  # calls; more than those that happen to be under way
QUESTION = {"model": "models/digits", "mode": "MODE_REPRODUCIBLE", "lime": {"num_samples": 100}}
INSTANCE = {"tensors": {"by_name": {"image": {"dtype": "FP32", "data": DIGIT.astype(float).tolist()}}}}


class Replica:
    """A server that can be started again at the same addresses."""

    def __init__(self, *flags: str) -> None:
        self._flags = (*flags, "--drain-s", str(PATIENCE_S))
        self._running = ExitStack()
        self.address = self.http = "127.0.0.1:0"
        self.server: Server

    def start(self) -> None:
        for left in reversed(range(STARTS)):
            try:
                self.server = self._running.enter_context(
                    running("--listen", self.address, "--http-listen", self.http, *self._flags)
                )
                break
            except AssertionError:
                if not left:
                    raise
        self.address, self.http = self.server.address, http_address(self.server)

    def end(self) -> int:
        """SIGTERM, and what the process ends with."""
        status = self.server.stop()
        self._running.close()
        return status

    def answered(self) -> int:
        """Explanations, in this life of the process."""
        return sum(
            (line["call"], line["outcome"]) == ("ExplanationService/Explain", "OK") for line in self.server.calls()
        )

    def answers_more(self) -> None:
        """Wait until calls come and are answered."""
        before, patience = self.answered(), time.monotonic() + PATIENCE_S
        while self.answered() < before + FEW:
            assert time.monotonic() < patience, "nobody calls this replica"
            time.sleep(0.02)


@dataclass
class Heard:
    """What callers got."""

    answers: dict[int, set[bytes]] = field(default_factory=lambda: {seed: set() for seed in SEEDS})
    count: int = 0
    failures: list[str] = field(default_factory=list)
    goodbyes: int = 0  # answers over HTTP that were said to be the last of their connection
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, seed: int, values: bytes) -> None:
        with self.lock:
            self.answers[seed].add(values)
            self.count += 1


def over_grpc(client: whybox.Client, seed: int) -> bytes:
    e = client.explain("models/digits", DIGIT, "lime", seed=seed, mode="reproducible", num_samples=100)
    return e.message.attribution.values.data


class Keeping:
    """A caller over HTTP/1.1: asks a replica whether it is ready, and stays with it until it is sent away."""

    def __init__(self, addresses: list[str], heard: Heard) -> None:
        self._addresses, self._heard = addresses, heard
        self._line: HTTPConnection | None = None

    def __call__(self, seed: int) -> bytes:
        try:
            return self._ask(seed)
        except BaseException:
            self.close()
            raise

    def _ask(self, seed: int) -> bytes:
        self._line = self._line or self._ready()
        body = json.dumps({**QUESTION, "seed": seed, "instances": [INSTANCE]}).encode()
        self._line.request("POST", "/api/v1/explanations:explain", body, JSON)
        answer = self._line.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200, said
        if answer.will_close:
            self.close()
            self._heard.goodbyes += 1
        return base64.b64decode(said["explanations"][0]["attribution"]["values"]["data"])

    def _ready(self) -> HTTPConnection:
        """A connection over which a replica has said that it is ready."""
        patience = time.monotonic() + PATIENCE_S
        while time.monotonic() < patience:
            self._addresses.append(self._addresses.pop(0))
            line = HTTPConnection(self._addresses[0], timeout=PATIENCE_S)
            try:
                if asked(line, "GET", "/readyz") == (200, False):
                    return line
            except (OSError, HTTPException):
                pass  # nobody there, or no longer
            line.close()
            time.sleep(0.02)
        raise AssertionError("no replica was ready")

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


@contextmanager
def calling(asks: Sequence[Callable[[int], bytes]], per_s: float, heard: Heard) -> Iterator[None]:
    """All of them call, so many times a second together, until the context is left."""
    over = threading.Event()

    def call(number: int) -> None:
        began, turn = time.monotonic(), number
        while not over.wait(max(began + turn / per_s - time.monotonic(), 0.0)):
            seed = turn % len(SEEDS)
            try:
                heard.take(seed, asks[number](seed))
            except Exception as failure:
                heard.failures.append(repr(failure))
            turn += len(asks)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


class UnderWay:
    """A call to one replica that has begun, and takes a while."""

    def __init__(self, address: str) -> None:
        self._begun = threading.Event()
        self.failure: BaseException | None = None
        self.complete = False
        self._thread = threading.Thread(target=self._call, args=(address,))
        self._thread.start()
        assert self._begun.wait(PATIENCE_S)

    def _call(self, address: str) -> None:
        def progress(done: int, planned: int) -> None:
            if done:
                self._begun.set()

        try:
            with whybox.Client(address) as client:
                self.complete = client.explain(
                    "models/texture", PICTURE, "rise", num_masks=MASKS, on_progress=progress
                ).complete
        except Exception as failure:
            self.failure = failure
        finally:
            self._begun.set()

    def join(self) -> None:
        self._thread.join()


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    """Two, that share predictions."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        both = [Replica("--redis", redis.url, "--cache-secret", "suite") for _ in range(2)]
        for replica in both:
            replica.start()
            stack.callback(replica.end)
        yield both


@pytest.fixture
def clients(replicas: list[Replica]) -> Iterator[list[whybox.Client]]:
    target = "ipv4:" + ",".join(replica.address for replica in replicas)
    with ExitStack() as stack:
        yield [stack.enter_context(whybox.Client(target, timeout=PATIENCE_S)) for _ in range(GRPC_CALLERS)]


def restart(replica: Replica) -> None:
    """While a call is under way, which ends with its answer."""
    pid, slow = replica.server.process.pid, UnderWay(replica.address)
    assert replica.end() == 0
    slow.join()
    assert (slow.failure, slow.complete) == (None, True)
    said = [(line["event"], line.get("call"), line.get("outcome")) for line in replica.server.lines]
    assert said.index(("draining", None, None)) < said.index(("call", "ExplanationService/ExplainStream", "OK"))
    assert not [line for line in replica.server.raw if "Traceback" in line]
    replica.start()
    assert replica.server.process.pid != pid


def test_a_rolling_restart_fails_no_call(replicas: list[Replica], clients: list[whybox.Client]) -> None:
    """Every call is answered, over both wires with the bytes of before: neither a restart nor who answers shows."""
    heard = Heard()
    for seed in SEEDS:
        heard.take(seed, over_grpc(clients[0], seed))
    asks = [partial(over_grpc, client) for client in clients]
    addresses = [replica.http for replica in replicas]
    with ExitStack() as stack:
        keeping = [Keeping(addresses[at:] + addresses[:at], heard) for at in range(HTTP_CALLERS)]
        for caller in keeping:
            stack.callback(caller.close)
        stack.enter_context(calling(asks, CALLS_PER_S, heard))
        stack.enter_context(calling(keeping, CALLS_PER_S / 2, heard))
        for replica in replicas:
            replica.answers_more()
            restart(replica)
        for replica in replicas:
            replica.answers_more()
    assert not heard.failures
    assert {seed: len(answers) for seed, answers in heard.answers.items()} == dict.fromkeys(SEEDS, 1)
    assert heard.goodbyes >= len(replicas), "connections that were kept ended without a word"


def test_a_kept_connection_has_one_more_answer_and_is_told_that_it_is_the_last() -> None:
    """HTTP/1.1 cannot say more: who is idle when SIGTERM comes may have a call on its way."""
    with running("--http-listen", "127.0.0.1:0", "--drain-s", "30") as server:
        idle = [HTTPConnection(http_address(server), timeout=PATIENCE_S) for _ in range(2)]
        for line in idle:
            assert asked(line, "GET", "/readyz") == (200, False)
        server.process.terminate()
        while not asked(idle[0], "GET", "/readyz")[1]:
            time.sleep(0.01)
        assert asked(idle[1], "GET", "/api/v1/models") == (200, True)
        assert server.process.wait(PATIENCE_S) == 0
        for line in idle:
            line.close()


def test_who_watches_the_health_hears_of_the_end_and_does_not_hold_it_up() -> None:
    """A stream of health never ends by itself, and the server would wait for it as it does for explanations."""
    with running("--drain-s", str(2 * PATIENCE_S)) as server, grpc.insecure_channel(server.address) as channel:
        watched = HealthStub(channel).Watch(HealthCheckRequest(service="readiness"))
        assert next(watched).status == HealthCheckResponse.SERVING
        server.process.terminate()
        assert [answer.status for answer in watched] == [HealthCheckResponse.NOT_SERVING]
        assert server.process.wait(PATIENCE_S) == 0


def asked(line: HTTPConnection, verb: str, path: str) -> tuple[int, bool]:
    """Status, and whether the connection ends with the answer."""
    line.request(verb, path)
    answer = line.getresponse()
    answer.read()
    return answer.status, answer.will_close
