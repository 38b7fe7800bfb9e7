"""Finds out which protocol a server speaks, by asking for metadata: nothing here makes a model work.

Only what was answered counts, and only if it is what one protocol alone says. TorchServe and plain JSON
have nothing to be known by, so that they must be declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from whybox_server.core.errors import EndpointRefused, InvalidRequest, ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import (
    Call,
    Described,
    Exchange,
    HttpCall,
    Refused,
    RemoteProtocol,
    Unreachable,
)
from whybox_server.serving.remote.failure import called
from whybox_server.serving.remote.speech import kserve_v1, oip_grpc, oip_rest, tfserving_grpc, tfserving_rest
from whybox_server.serving.remote.speech.json_text import decoded, get, kind_of, segments
from whybox_server.serving.remote.speech.tf_signature import no_model

SPOKEN: Mapping[str, RemoteProtocol] = {
    Speech.OIP_REST.value: oip_rest,
    Speech.OIP_GRPC.value: oip_grpc,
    Speech.TFSERVING_REST.value: tfserving_rest,
    Speech.TFSERVING_GRPC.value: tfserving_grpc,
    Speech.KSERVE_V1.value: kserve_v1,
}
V1 = f"{Speech.TFSERVING_REST.value} or {Speech.KSERVE_V1.value}"  # they share their paths
FINAL = (401, 429, 502, 503, 504)  # of the server, whatever it is asked for
NO_ANSWER = "no answer: "
LONGEST = 120  # characters of why a protocol was given up

Failure = InvalidRequest | ModelOutputInvalid | Refused | Unreachable


@dataclass(slots=True, eq=False)
class Attempt:
    """One protocol's own `describe`, listened to. why: it was given up, in words; "" before that."""

    name: str
    exchange: Exchange[Described]
    heard: bool = False  # something that only this protocol says
    why: str = ""

    def run(self) -> Exchange[Described | None]:
        """What it finds; None if the server does not speak it."""
        try:
            described = yield from self._listening()
        except (InvalidRequest, ModelOutputInvalid, Refused, Unreachable) as failure:
            if self._settles(failure):
                raise
            self.why = words_of(failure)
            return None
        self.why = "nothing on its paths"
        return described if self.heard else None

    def _listening(self) -> Exchange[Described]:
        try:
            call = next(self.exchange)
            while True:
                try:
                    answer = yield call
                except (Refused, Unreachable) as failure:
                    call = self.exchange.throw(failure)
                else:
                    self.heard = self.heard or tells(call)
                    call = self.exchange.send(answer)
        except StopIteration as done:
            described: Described = done.value
            return described

    def _settles(self, failure: Failure) -> bool:
        """Whether another protocol would fare no better, or this is the right one and says what is wrong."""
        match failure:
            case InvalidRequest():
                return self.heard or isinstance(failure.__cause__, Refused)
            case Refused():
                return failure.status in FINAL
            case Unreachable():
                return not failure.sent
        return False


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """In the protocol that the server speaks.

    Raises EndpointRefused, with all that was tried, if it speaks none of those that can be recognised,
    and what the right protocol's own `describe` does.
    """
    tried: list[Attempt] = []
    for name, start in candidates(endpoint, tried):
        tried.append(Attempt(name, start(endpoint)))
        described = yield from tried[-1].run()
        if described is not None:
            return described
    listed = "; ".join(f"{one.name}: {one.why[:LONGEST]}" for one in tried)
    raise EndpointRefused(
        f"{called(endpoint)} speaks no protocol that its metadata would show ({listed}); "
        "check the URL and the model's name, or declare the protocol",
        endpoint=called(endpoint),
    )


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    return SPOKEN[described.speech].ask(endpoint, described, rows)


def bytes_per_row(described: Described, rows: Mapping[str, Array]) -> int:
    return SPOKEN[described.speech].bytes_per_row(described, rows)


def candidates(
    endpoint: Endpoint, tried: Sequence[Attempt]
) -> Iterator[tuple[str, Callable[[Endpoint], Exchange[Described]]]]:
    """In the order in which they cost least; HTTP only as long as it is answered."""
    if not endpoint.url.lower().startswith("grpc"):
        yield Speech.OIP_REST.value, oip_rest.describe
        if not tried[-1].why.startswith(NO_ANSWER):
            yield V1, describe_v1
    yield Speech.OIP_GRPC.value, oip_grpc.describe
    yield Speech.TFSERVING_GRPC.value, tfserving_grpc.describe


def words_of(failure: Failure) -> str:
    return f"{NO_ANSWER}{failure.text}" if isinstance(failure, Unreachable) else str(failure)


def tells(call: Call) -> bool:
    """Whether an answer shows the protocol: a server's own page may be anything."""
    return not (isinstance(call, HttpCall) and call.path == oip_rest.SERVER)


def describe_v1(endpoint: Endpoint) -> Exchange[Described]:
    """TensorFlow Serving says the state of each version, KServe whether the model is ready."""
    try:
        said = decoded((yield get(f"{kserve_v1.MODELS}{segments(endpoint.model) if endpoint.model else ''}")))
    except Refused as refused:
        if any(words in refused.text.lower() for words in tfserving_rest.WRONG_MODEL):
            raise no_model(endpoint) from refused
        raise
    keys = said.keys() if isinstance(said, dict) else ()
    if "model_version_status" in keys:
        return (yield from tfserving_rest.describe(endpoint))
    if "ready" in keys or "models" in keys:
        return (yield from kserve_v1.describe(endpoint))
    raise ModelOutputInvalid(f"what it says of the model is {kind_of(said)}")
