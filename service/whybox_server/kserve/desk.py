"""Where every wire of KServe's comes: which model is meant, what it predicts, what explains that.

KServe's names have no "models/" in front. A name is that of the predictor behind us, else of a model of the
folder, else of a declared endpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from whybox.v1 import explanation_pb2
from whybox_server.api.decode import to_givens
from whybox_server.api.explanations import Explanations
from whybox_server.api.headers import headers_in
from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid, UnknownModel
from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec
from whybox_server.engine.catalogue import Catalogue
from whybox_server.engine.endpoints import Caller
from whybox_server.engine.inputs import arrays_of
from whybox_server.engine.shelf import PREFIX as MODELS
from whybox_server.engine.task import Given
from whybox_server.kserve.asked import Asked, Metadata
from whybox_server.kserve.behind import NAME
from whybox_server.kserve.parameters import merged, request_of
from whybox_server.kserve.predictor import NOTHING, Predictor
from whybox_server.serving.model import Model
from whybox_server.serving.remote.declared import PREFIX as ENDPOINTS
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.model import RemoteModel
from whybox_server.serving.remote.relay import relay, relays

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """Belongs to one event loop. predictor: None if none is configured. defaults: of the operator, laid under
    what callers ask for. draining: whether the server is about to stop.
    """

    catalogue: Catalogue
    explanations: Explanations
    draining: Callable[[], bool]
    predictor: Predictor | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    async def names(self) -> list[str]:
        """KServe's names of all models there are."""
        return sorted(await self._full_names())

    async def ready(self, name: str) -> bool:
        """Raises UnknownModel."""
        full = await self._find(name)
        if self._is_predictor(full):
            assert self.predictor is not None
            return self.predictor.answers
        return full.startswith(ENDPOINTS) or not (await self.catalogue.get(full)).problem

    async def all_ready(self) -> bool:
        """Whether this server should get requests: not while it drains, nor before its predictor answers."""
        return not self.draining() and (self.predictor is None or self.predictor.answers)

    async def metadata(self, name: str, context: Any) -> Metadata:
        """Raises what leasing the model does."""
        full = await self._find(name)

        async def read(model: Model) -> Metadata:
            own = (await self.catalogue.get(full)).version if full.startswith(MODELS) else ""
            version = model.served.version or own
            silent = self._is_predictor(full) and self.predictor is not None and self.predictor.silent
            return Metadata(name, (version,) if version else (), () if silent else tuple(model.rows))

        return await self._with(full, context, read)

    async def explain(self, name: str, asked: Asked, context: Any) -> list[explanation_pb2.Explanation]:
        """One explanation per instance. Raises whatever `Explain` does."""
        full = await self._find(name)
        # Aside, because it copies all instances.
        request = await asyncio.to_thread(request_of, full, asked.instances, self.given(asked))
        if not self._is_predictor(full):
            return await self.explanations.explained(request, context)
        assert self.predictor is not None
        return await self.predictor.through(
            lambda endpoint: self.explanations.explained(request, context, endpoint),
            headers_in(context),
            asked,
        )

    def given(self, asked: Asked) -> dict[str, Any]:
        """All parameters that hold: the caller's over the operator's."""
        return merged(self.defaults, asked.parameters)

    async def predict(self, name: str, asked: Asked, context: Any) -> list[Any]:
        """What the model says of each instance, as plain JSON values: V1's `predictions`."""
        full = await self._find(name)

        async def read(model: Model) -> list[Any]:
            if isinstance(model, RemoteModel) and relays(model) and asked.rows:
                body = {"instances": list(asked.rows)}
                reply = await self._relayed(model, body, len(asked.rows), context)
                return _predictions(reply, len(asked.rows))
            rows = await asyncio.to_thread(_rows, model, to_givens(asked.instances))
            return _said(await self.catalogue.predict(model, rows, context.time_remaining(), "instances"))

        return await self._with(full, context, read, asked)

    async def pass_on(self, name: str, body: Mapping[str, Any], context: Any) -> Any | None:
        """What a server that speaks V1 says to this body; None if the model is none of such a server."""
        full = await self._find(name)
        if not full.startswith(ENDPOINTS):
            return None
        instances = body.get("instances", body.get("inputs"))
        rows = len(instances) if isinstance(instances, list) else 1

        async def read(model: Model) -> Any | None:
            if not isinstance(model, RemoteModel) or not relays(model):
                return None
            return await self._relayed(model, body, rows, context)

        return await self._with(full, context, read)

    async def _relayed(self, model: RemoteModel, body: Mapping[str, Any], rows: int, context: Any) -> Any:
        waiting = self.catalogue.endpoints.waiting
        return await waiting.done(lambda patience: relay(model, body, rows, patience), context.time_remaining())

    async def _with(
        self,
        full: str,
        context: Any,
        work: Callable[[Model], Awaitable[T]],
        asked: Asked = NOTHING,
    ) -> T:
        """What work with a leased model comes to."""
        headers = headers_in(context)

        async def leased(endpoint: Endpoint | None) -> T:
            async with self.catalogue.lease(full, ModelSpec(), Caller(endpoint, headers)) as model:
                return await work(model)

        if not self._is_predictor(full):
            return await leased(None)
        assert self.predictor is not None
        return await self.predictor.through(leased, headers, asked)

    def _is_predictor(self, full: str) -> bool:
        return self.predictor is not None and self.predictor.endpoint.name == full

    async def _find(self, name: str) -> str:
        """The full name of the model that is meant. Raises UnknownModel."""
        if self.predictor is not None and name == self.predictor.name:
            return self.predictor.endpoint.name  # whatever there is besides; the folder is not looked through
        names = await self._full_names()
        if name in names:
            return names[name]
        there = ", ".join(sorted(names)[:6]) or "none"
        shown = name[:80]
        raise UnknownModel(f"no model {shown!r}; GET /v1/models lists what there is: {there}", model=shown)

    async def _full_names(self) -> dict[str, str]:
        """By KServe's names; those that its gateway would not route are left out."""
        endpoints = [endpoint.name for endpoint in self.catalogue.endpoints.list()]
        models = [listed.name for listed in await self.catalogue.list()]
        named = {full.partition("/")[2]: full for full in (*endpoints, *models)}
        if self.predictor is not None:
            named[self.predictor.name] = self.predictor.endpoint.name
        return {name: full for name, full in named.items() if NAME.fullmatch(name)}


def _said(outputs: Mapping[str, Array]) -> list[Any]:
    """A JSON value per instance: of one output its row, of several an object of rows."""
    values = {name: array.tolist() for name, array in outputs.items()}
    if len(values) == 1:
        return list(next(iter(values.values())))
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _rows(model: Model, givens: tuple[Given, ...]) -> dict[str, Array]:
    """(n, *shape) by input. Raises InvalidRequest for instances of different shapes."""
    rows: list[dict[str, Array]] = []
    for number, given in enumerate(givens):
        place = f"instances[{number}]"
        rows.append(model.fit(arrays_of(given, model.rows, model.spec, place), place))
    for number, row in enumerate(rows):
        for name, array in row.items():
            if array.shape != rows[0][name].shape:
                raise InvalidRequest.of(
                    f"instances[{number}]",
                    f"{name!r} has the shape {array.shape} and that of the first instance is {rows[0][name].shape}; "
                    "instances of one request are predicted together",
                )
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _predictions(reply: Any, count: int) -> list[Any]:
    """Raises ModelOutputInvalid."""
    said = reply.get("predictions") if isinstance(reply, dict) else None
    if not isinstance(said, list) or len(said) != count:
        raise ModelOutputInvalid(f"the predictor's reply has no `predictions` of {count} instances")
    return said
