"""The models there are: those of the operator's folder, those that callers sent, and those behind endpoints.

A session is loaded when it is first asked for, shared by everybody who asks for the same bytes, and
let go when others need the room and nobody uses it (`kept`). Endpoints are the affair of `endpoints`.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from whybox_server.core.errors import InvalidRequest, ModelRejected, TooLarge, UnknownModel
from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec
from whybox_server.engine.endpoints import NOBODY, Caller, Endpoints
from whybox_server.engine.events import Events, ModelLoaded
from whybox_server.engine.kept import Kept
from whybox_server.engine.shelf import PREFIX, Source
from whybox_server.serving.model import Model
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel, execution_key
from whybox_server.serving.onnx.session import Execution
from whybox_server.serving.onnx.trial import Bounds, trial
from whybox_server.serving.onnx.vet import TRUSTED, Limits
from whybox_server.serving.remote.declared import PREFIX as ENDPOINTS
from whybox_server.serving.remote.model import RemoteModel


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """What is said about a model; `model` is None until it is loaded."""

    name: str
    size_bytes: int
    version: str
    problem: str
    model: OnnxModel | None
    digest: str


@dataclass(slots=True, eq=False)
class Catalogue:
    """All models of a server. Belongs to one event loop.

    loaded: sessions by name, stamp and execution; their sizes are those of the files. max_bytes: of one
    file that a caller sends, and of all of them together; the longest unused goes first.
    """

    sources: Callable[[], Mapping[str, Source]]
    execution: Execution
    limits: Limits
    max_bytes: int
    trust_uploads: bool
    events: Events
    loaded: Kept[OnnxModel]
    endpoints: Endpoints
    _sent: OrderedDict[str, Source] = field(default_factory=OrderedDict)

    async def create(self, data: bytes, spec: ModelSpec) -> Listed:
        """Take a model that a caller sent: vet it, load it, keep it. The same bytes have the same name.

        Raises ModelRejected, TooLarge or InvalidRequest, and keeps nothing then.
        """
        if len(data) > self.max_bytes:
            raise TooLarge(f"the model has {len(data)} bytes and this server keeps {self.max_bytes}", limit=self.max_bytes)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        name = f"{PREFIX}sha256-{digest}"
        source = Source(name, lambda: data, spec, self.trust_uploads, len(data))
        if not self.trust_uploads and name not in self._sent:
            await trial(data, Bounds(limits=self.limits))
        async with self._use(source, ModelSpec()) as model:
            self._sent[name] = source
            self._sent.move_to_end(name)
            self._forget_sent()
            return listed(source, model)

    async def get(self, name: str) -> Listed:
        """Raises UnknownModel, with near names."""
        source = await self._find(name)
        return listed(source, self._peek(source))

    async def list(self) -> list[Listed]:
        """All models, by name. Nothing is loaded for it."""
        sources = {**await asyncio.to_thread(self.sources), **self._sent}
        # The newest version has two names; it is listed under the plain one.
        return [listed(one, self._peek(one)) for name, one in sorted(sources.items()) if name == one.name]

    def delete(self, name: str) -> None:
        """Forget a model that a caller sent. Raises UnknownModel; InvalidRequest for one of the folder."""
        if name not in self._sent:
            if name.startswith(f"{PREFIX}sha256-"):
                raise UnknownModel(f"no model {name!r}", model=name)
            raise InvalidRequest.of("name", "only models that were sent can be deleted; remove others from the folder")
        source = self._sent.pop(name)
        self.loaded.forget(lambda key: isinstance(key, tuple) and key[0] == source.name)

    @asynccontextmanager
    async def lease(self, name: str, spec: ModelSpec, caller: Caller = NOBODY) -> AsyncIterator[Model]:
        """A loaded model, read as the caller's spec says; it stays loaded while the context is open.

        name: of a model or an endpoint; "": the endpoint that the caller declares himself.
        Raises UnknownModel, ModelRejected, or InvalidRequest for a spec that does not fit, and for an
        endpoint that does not answer as one what `Endpoints.lease` raises.
        """
        if not name or name.startswith(ENDPOINTS):
            async with self.endpoints.lease(name, spec, caller) as remote:
                yield remote
            return
        source = await self._find(name)
        if source.problem:
            raise ModelRejected(f"{name} cannot be used: {source.problem}", rule="FOLDER")
        async with self._use(source, spec) as model:
            yield model

    async def predict(
        self, model: Model, inputs: Mapping[str, Array], seconds: float | None, field: str = "inputs"
    ) -> dict[str, Array]:
        """What a leased model says of rows, as `Model.predict`. seconds: until the caller's deadline."""
        if isinstance(model, RemoteModel):
            return await self.endpoints.waiting.done(lambda patience: model.predict(inputs, field, patience), seconds)
        return await asyncio.to_thread(model.predict, inputs, field)

    def close(self) -> None:
        """Let go of every session."""
        self.loaded.close()
        self.endpoints.close()

    @asynccontextmanager
    async def _use(self, source: Source, spec: ModelSpec) -> AsyncIterator[OnnxModel]:
        given = replace(meaning.merged(spec, source.spec), kept=source.kept)
        async with self.loaded.use(_key(source, given), lambda: self._load(source, given), source.size_bytes) as model:
            yield await asyncio.to_thread(model.read_as, given)

    async def _load(self, source: Source, spec: ModelSpec) -> OnnxModel:
        started = time.perf_counter()
        limits = TRUSTED if source.trusted else self.limits
        model = await asyncio.to_thread(lambda: load(source.read(), spec, self.execution, limits))
        seconds = time.perf_counter() - started
        self.events.tell(ModelLoaded(model.digest, model.provider, seconds, model.notes))
        return model

    async def _find(self, name: str) -> Source:
        if name in self._sent:
            return self._sent[name]
        sources = await asyncio.to_thread(self.sources)
        if name in sources:
            return sources[name]
        known = [*sources, *self._sent]
        near = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`whybox models` lists what there is"
        raise UnknownModel(f"no model {name!r}; {hint}", model=name, near=", ".join(near))

    def _peek(self, source: Source) -> OnnxModel | None:
        """The model, if it is loaded already under its own spec."""
        return self.loaded.peek(_key(source, source.spec))

    def _forget_sent(self) -> None:
        while sum(source.size_bytes for source in self._sent.values()) > self.max_bytes:
            self._sent.popitem(last=False)


def _key(source: Source, spec: ModelSpec) -> Hashable:
    return (source.name, source.stamp, *execution_key(spec))


def listed(source: Source, model: OnnxModel | None) -> Listed:
    digest = source.name.removeprefix(PREFIX) if source.name.startswith(f"{PREFIX}sha256-") else ""
    return Listed(
        source.name,
        source.size_bytes,
        source.version,
        source.problem,
        model,
        digest if model is None else model.digest,
    )
