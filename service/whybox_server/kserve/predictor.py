"""The predictor behind us: what it speaks, and whether it answers.

KServe says where it is and nothing else. It is looked at again and again: that is what readiness means here,
and how a predictor that comes back with another protocol is noticed. It is asked for metadata only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from whybox_server.core.errors import EndpointRefused, InvalidRequest, ModelOutputInvalid, WhyboxError
from whybox_server.kserve.asked import Asked
from whybox_server.kserve.inferred import PLACEHOLDER, are_objects, inputs_of
from whybox_server.serving.remote.declared import PREFIX
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.once import Once
from whybox_server.serving.remote.speech import PROTOCOLS
from whybox_server.serving.remote.speech.kserve_v1 import SILENT
from whybox_server.serving.remote.speech.oip_ready import ready
from whybox_server.serving.remote.transport import Transport

T = TypeVar("T")

UNSEEN_S, SEEN_S = 1.0, 5.0  # between two looks at a predictor that did not answer, and at one that did
LOOK_S = 5.0  # for one call of a look
WHO_ARE_YOU = ("401", "403")  # it answers, though not to us
OPEN_INFERENCE = (Speech.OIP_REST, Speech.OIP_GRPC)
NOTHING = Asked(())
NOT_READY = 503

log = structlog.get_logger("whybox.kserve")


@dataclass(frozen=True, slots=True)
class Found:
    """What a look showed. silent: it does not say what the model takes."""

    speech: Speech
    silent: bool


@dataclass(slots=True, eq=False)
class Predictor:
    """Belongs to one event loop. endpoint: as configured. way: to it.

    heed: hears whether it answers, first and whenever that changes.
    """

    endpoint: Endpoint
    way: Callable[[Endpoint], Transport]
    heed: Callable[[bool], Awaitable[None]]
    found: Found | None = None
    answers: bool = False
    _looked: bool = False
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """KServe's name of its model."""
        return self.endpoint.name.removeprefix(PREFIX)

    @property
    def silent(self) -> bool:
        """Whether it leaves out what its model takes."""
        return self.found is not None and self.found.silent

    async def start(self) -> None:
        await self.heed(False)
        self._watch = asyncio.create_task(self._watching())

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def through(
        self,
        work: Callable[[Endpoint], Awaitable[T]],
        headers: Mapping[str, str],
        asked: Asked = NOTHING,
    ) -> T:
        """What work with the predictor comes to; once more if it turns out to speak another protocol by now.

        headers: of the caller. asked: tells what it takes, where it does not say so itself.
        """
        passed = {name: value for name, value in headers.items() if name in self.endpoint.forward}
        found = self.found or await self._look(passed)
        try:
            return await work(self._as(found, asked))
        except (EndpointRefused, ModelOutputInvalid):
            now = await self._look(passed)
            if now == found:
                raise
            log.warning("the predictor speaks another protocol now", before=found.speech.value, now=now.speech.value)
            return await work(self._as(now, asked))

    def _as(self, found: Found, asked: Asked) -> Endpoint:
        """The endpoint, with all that was found out about it."""
        seen = replace(self.endpoint, speech=found.speech, objects=are_objects(asked))
        return replace(seen, inputs=inputs_of(asked.instances, self.endpoint.name)) if found.silent else seen

    async def _look(self, headers: Mapping[str, str]) -> Found:
        """Raises what the endpoint's server says to a question for metadata."""
        async with self._looking:
            try:
                self.found = await asyncio.to_thread(look, self.endpoint, self.way, headers)
            except WhyboxError as failure:
                if not headers:  # of a caller's own, a failure may be his
                    self.found = None
                    status = failure.details.get("status") if isinstance(failure, EndpointRefused) else None
                    await self._tell(answers=status in WHO_ARE_YOU, why=str(failure))
                raise
            await self._tell(answers=True)
            return self.found

    async def _tell(self, *, answers: bool, why: str = "") -> None:
        if answers == self.answers and self._looked:
            return
        self.answers, self._looked = answers, True
        if answers:
            speech = self.found.speech.value if self.found else ""
            log.info("the predictor answers", predictor=self.endpoint.url, protocol=speech)
        else:
            log.warning("the predictor does not answer", predictor=self.endpoint.url, why=why)
        await self.heed(answers)

    async def _watching(self) -> None:
        while True:
            try:
                await self._look({})
            except WhyboxError as failure:
                log.debug("looked at the predictor", why=str(failure))
            except Exception:
                log.exception("defect")
            await asyncio.sleep(SEEN_S if self.answers else UNSEEN_S)


def look(endpoint: Endpoint, way: Callable[[Endpoint], Transport], headers: Mapping[str, str]) -> Found:
    """Ask the server for metadata, and whether its model is ready. Blocks.

    Raises EndpointUnreachable, EndpointRefused, EgressDenied, and InvalidRequest for what must be declared.
    """
    plain = way(endpoint)
    once = Once(plain.forwarding(headers) if headers else plain, endpoint.name, LOOK_S)
    try:
        described, silent = _described(endpoint, once)
        speech = Speech(described.speech)
        if speech in OPEN_INFERENCE and not once.run(ready(endpoint, described)):
            raise EndpointRefused(f"{endpoint.name} has the model, and it is not ready yet", endpoint=endpoint.name, status=NOT_READY)
        return Found(speech, silent)
    finally:
        plain.close()


def _described(endpoint: Endpoint, once: Once) -> tuple[Described, bool]:
    """What the server says, and whether it leaves out what the model takes.

    A server that has both protocols and no inputs to name is asked in V1: what is written for V1 alone answers
    to the other one's questions, too.
    """
    try:
        return once.run(PROTOCOLS[endpoint.speech].describe(endpoint)), False
    except InvalidRequest as unsaid:
        if [one.field for one in unsaid.violations] != ["endpoint.inputs"] or endpoint.inputs:
            raise
    given = replace(endpoint, inputs=PLACEHOLDER)
    if endpoint.speech is Speech.AUTO:
        try:
            described = once.run(PROTOCOLS[Speech.KSERVE_V1].describe(given))
        except (EndpointRefused, InvalidRequest):
            pass
        else:
            if SILENT not in described.notes:
                return described, True
    return once.run(PROTOCOLS[endpoint.speech].describe(given)), True
