"""The endpoints there are: those of the operator's file, those that callers created, and inline ones.

An endpoint is asked for its metadata when it is first leased, never when it is declared. Whether its
address may be reached is the transport's affair; who may declare one, and with whose secrets, is decided
here.
"""

from __future__ import annotations

import asyncio
import difflib
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from whybox_server.core.errors import InvalidRequest, UnknownModel, Violation
from whybox_server.core.memo import Memo
from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec
from whybox_server.engine.events import Events, ModelLoaded
from whybox_server.engine.kept import Kept
from whybox_server.engine.waiting import Waiting
from whybox_server.serving.onnx import meaning
from whybox_server.serving.remote.check import violations
from whybox_server.serving.remote.declared import PREFIX, Declared
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.model import PROVIDER, RemoteModel, model_of
from whybox_server.serving.remote.probing import Probed, probed
from whybox_server.serving.remote.session import Session, identity, pinned

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MOST_CREATED = 1000
INLINE_FIELD = "endpoint"
REFRESH_S = 300.0  # how often a server is asked again what it serves, where nobody declares that


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """What a call brings beside its question: an endpoint of its own, and headers that may be passed on."""

    endpoint: Endpoint | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    credential: str = ""  # by name, of `endpoint`


NOBODY = Caller()


@dataclass(slots=True, eq=False)
class Endpoints:
    """All endpoints of a server. Belongs to one event loop.

    check: raises for an endpoint that could not be asked. open: a session of an endpoint, whose metadata is
    asked with these headers; blocks. inline: callers may declare endpoints of their own.
    """

    declared: Declared
    check: Callable[[Endpoint], None]
    open: Callable[[Endpoint, Mapping[str, str]], Session]
    sessions: Kept[Session]
    inline: bool
    events: Events
    clock: Callable[[], float] = time.monotonic
    waiting: Waiting = field(default_factory=Waiting)
    _created: OrderedDict[str, Endpoint] = field(default_factory=OrderedDict)
    _memos: dict[str, Memo] = field(default_factory=dict)

    def create(self, endpoint_id: str, endpoint: Endpoint, credential: str) -> Endpoint:
        """Remember an endpoint; the same one twice is one.

        Raises InvalidRequest, listing what is wrong, also where callers may not, and EgressDenied for an
        address in numbers that may not be asked.
        """
        name = f"{PREFIX}{endpoint_id}"
        if not NAME.fullmatch(endpoint_id):
            raise InvalidRequest.of(
                "endpoint_id", "1 to 63 letters, digits, '-', '_' and '.', the first no sign"
            )
        if name in self.declared.endpoints:
            raise InvalidRequest.of("endpoint_id", f"{name} is declared by the operator; choose another name")
        made = replace(self._vouched(endpoint, credential), name=name)
        there = self._created.get(name)
        if there is not None and identity(there) != identity(made):
            raise InvalidRequest.of("endpoint_id", f"{name} is another endpoint already; delete it first")
        if there is None and len(self._created) >= MOST_CREATED:
            raise InvalidRequest.of("endpoint_id", f"there are {MOST_CREATED} endpoints already; delete some")
        self.check(made)
        self._created[name] = made
        return made

    def get(self, name: str) -> Endpoint:
        """Raises UnknownModel, with near names."""
        found = self._created.get(name) or self.declared.endpoints.get(name)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, [*self._created, *self.declared.endpoints], 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`whybox endpoints` lists what there is"
        raise UnknownModel(f"no endpoint {name!r}; {hint}", model=name, near=", ".join(near))

    def list(self) -> list[Endpoint]:
        """All, by name."""
        found = {**self._created, **self.declared.endpoints}
        return [found[name] for name in sorted(found)]

    def delete(self, name: str) -> None:
        """Forget what a caller created. Raises UnknownModel; InvalidRequest for one of the operator."""
        if name in self.declared.endpoints:
            raise InvalidRequest.of(
                "name", f"{name} is declared by the operator; it goes when it is taken out of endpoints.yaml"
            )
        self.get(name)
        del self._created[name]
        self._memos.pop(name, None)

    async def probe(self, name: str, caller: Caller, row: Mapping[str, Array]) -> Probed:
        """Ask an endpoint a few rows, to see what it says and whether it says it again. row: {} for zeros.

        Raises what `lease` raises, and what asking rows does.
        """
        async with self.lease(name, ModelSpec(), caller) as model:
            return await self.waiting.done(lambda patience: probed(model, row))

    @asynccontextmanager
    async def lease(self, name: str, spec: ModelSpec, caller: Caller) -> AsyncIterator[RemoteModel]:
        """The model behind an endpoint, read as the caller's spec says; it stays open with the context.

        name: "" for the caller's own. Raises UnknownModel, InvalidRequest, EgressDenied, EndpointUnreachable
        or EndpointRefused.
        """
        endpoint = self._meant(name, caller)
        kept = self._memos.setdefault(endpoint.name, Memo()) if endpoint.name else None
        given = replace(meaning.merged(spec, endpoint.spec), kept=kept)
        given = replace(given, output=given.output or endpoint.output)
        asked = replace(endpoint, output=given.output, spec=given)
        headers = {key: value for key, value in caller.headers.items() if key in endpoint.forward}
        era = None if pinned(asked) else self.clock() // REFRESH_S
        async with self.sessions.use(
            (identity(asked), era), lambda: self._open(asked, headers), 1
        ) as session:
            yield await asyncio.to_thread(model_of, session, given, headers, endpoint.price)

    def _meant(self, name: str, caller: Caller) -> Endpoint:
        own = caller.endpoint
        if own is not None and own.trusted and own.name == name:
            return own  # what an edge of this server found out about it; callers cannot bring a trusted one
        return self.get(name) if name else self.inline_of(caller)

    def inline_of(self, caller: Caller) -> Endpoint:
        """The endpoint that a caller declares himself. Raises InvalidRequest."""
        if caller.endpoint is None:
            raise InvalidRequest.of("model", "required")
        return self._vouched(caller.endpoint, caller.credential)

    def close(self) -> None:
        """Hang up everywhere."""
        self.sessions.close()
        self.waiting.close()

    def _vouched(self, endpoint: Endpoint, credential: str) -> Endpoint:
        """What a caller declared, as far as he may."""
        if not self.inline:
            raise InvalidRequest.of(
                INLINE_FIELD,
                "this server takes no endpoints of callers; have its operator declare it in endpoints.yaml "
                "and name it as model, or start it with --inline-endpoints",
            )
        wrong = violations(endpoint, INLINE_FIELD)
        if endpoint.forward:
            wrong.append(
                Violation(f"{INLINE_FIELD}.forward", "only the operator decides which headers are passed on")
            )
        if any((endpoint.tls.ca, endpoint.tls.cert, endpoint.tls.key)):
            wrong.append(Violation(f"{INLINE_FIELD}.tls", "only the operator names files of the server"))
        known = self.declared.credentials
        if credential and credential not in known:
            said = f"no credential {credential!r}; the operator declares them in endpoints.yaml"
            wrong.append(Violation(f"{INLINE_FIELD}.credential", said))
        if wrong:
            raise InvalidRequest(wrong)
        return replace(endpoint, name="", trusted=False, credential=known[credential] if credential else None)

    async def _open(self, endpoint: Endpoint, headers: Mapping[str, str]) -> Session:
        started = time.perf_counter()
        session = await self.waiting.done(lambda patience: self.open(endpoint, headers))
        seconds = time.perf_counter() - started
        self.events.tell(ModelLoaded(session.digest, PROVIDER, seconds, session.described.notes))
        return session
