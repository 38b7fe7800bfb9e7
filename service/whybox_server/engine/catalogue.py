"""The models there are: those of the operator's folder and those that callers sent.

A session is loaded when it is first asked for, shared by everybody who asks for the same bytes, and
let go when others need the room and nobody uses it. Nothing half-loaded is ever kept.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from whybox_server.core.errors import InvalidRequest, ModelRejected, TooLarge, UnknownModel
from whybox_server.core.spec import ModelSpec
from whybox_server.engine.events import Events, ModelLoaded
from whybox_server.engine.shelf import PREFIX, Source
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel, execution_key
from whybox_server.serving.onnx.session import Execution
from whybox_server.serving.onnx.trial import Bounds, trial
from whybox_server.serving.onnx.vet import TRUSTED, Limits


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
class Loaded:
    """A model in memory and how many explanations use it."""

    loading: asyncio.Task[OnnxModel]
    size_bytes: int
    users: int = 0


@dataclass(slots=True, eq=False)
class Catalogue:
    """All models of a server. Belongs to one event loop.

    max_bytes: of sessions by file size, and of the files callers sent; what nobody uses goes first.
    """

    sources: Callable[[], Mapping[str, Source]]
    execution: Execution
    limits: Limits
    max_bytes: int
    trust_uploads: bool
    events: Events
    _sent: OrderedDict[str, Source] = field(default_factory=OrderedDict)
    _loaded: OrderedDict[tuple[object, ...], Loaded] = field(default_factory=OrderedDict)

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
        for key in [key for key in self._loaded if key[0] == source.name]:
            self._release(key)

    @asynccontextmanager
    async def lease(self, name: str, spec: ModelSpec) -> AsyncIterator[OnnxModel]:
        """A loaded model, read as the caller's spec says; it stays loaded while the context is open.

        Raises UnknownModel, ModelRejected, or InvalidRequest for a spec that does not fit.
        """
        source = await self._find(name)
        if source.problem:
            raise ModelRejected(f"{name} cannot be used: {source.problem}", rule="FOLDER")
        async with self._use(source, spec) as model:
            yield model

    def close(self) -> None:
        """Let go of every session."""
        for key in list(self._loaded):
            self._release(key)

    @asynccontextmanager
    async def _use(self, source: Source, spec: ModelSpec) -> AsyncIterator[OnnxModel]:
        given = replace(meaning.merged(spec, source.spec), kept=source.kept)
        key = (source.name, source.stamp, *execution_key(given))
        loaded = self._loaded.get(key)
        if loaded is None:
            # A task of its own: whoever asked first may leave, others still wait for it.
            task = asyncio.create_task(self._load(source, given))
            loaded = self._loaded[key] = Loaded(task, source.size_bytes)
        self._loaded.move_to_end(key)
        loaded.users += 1
        try:
            model = await asyncio.shield(loaded.loading)
            self._make_room()
            yield await asyncio.to_thread(model.read_as, given)
        finally:
            loaded.users -= 1
            failed = loaded.loading.done() and (loaded.loading.cancelled() or loaded.loading.exception())
            if failed and self._loaded.get(key) is loaded:
                del self._loaded[key]

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
        loaded = self._loaded.get((source.name, source.stamp, *execution_key(source.spec)))
        if loaded is None or not loaded.loading.done() or loaded.loading.exception() is not None:
            return None
        return loaded.loading.result()

    def _make_room(self) -> None:
        """Let go of the longest unused sessions until the rest fits."""
        idle = [key for key, loaded in self._loaded.items() if not loaded.users]
        for key in idle:
            if sum(loaded.size_bytes for loaded in self._loaded.values()) <= self.max_bytes:
                return
            self._release(key)

    def _forget_sent(self) -> None:
        while sum(source.size_bytes for source in self._sent.values()) > self.max_bytes:
            self._sent.popitem(last=False)

    def _release(self, key: tuple[object, ...]) -> None:
        loaded = self._loaded.pop(key)
        if loaded.loading.done() and not loaded.loading.cancelled() and loaded.loading.exception() is None:
            loaded.loading.result().close()
        loaded.loading.cancel()


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
