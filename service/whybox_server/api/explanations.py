"""`ExplanationService`: decodes, hands over to the engine, encodes. Errors are raised; `guard` maps them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from whybox.render import html, png, text
from whybox.v1 import explain_pb2, explain_pb2_grpc, explanation_pb2
from whybox_server.api.decode import to_task
from whybox_server.api.encode import from_answer, from_plan, from_progress
from whybox_server.api.guard import request_id
from whybox_server.api.headers import headers_in
from whybox_server.api.methods import list_of_all, methods_for
from whybox_server.core.spec import ModelSpec
from whybox_server.engine.endpoints import Caller
from whybox_server.engine.explainer import Explainer
from whybox_server.engine.task import Answer, Plan, Progress, Update
from whybox_server.serving.remote.endpoint import Endpoint

RENDERERS: dict[int, Callable[[explanation_pb2.Explanation], bytes]] = {
    explanation_pb2.RENDER_FORMAT_TEXT: lambda message: text(message, color=False).encode(),
    explanation_pb2.RENDER_FORMAT_PNG: png,
    explanation_pb2.RENDER_FORMAT_HTML: lambda message: html(message).encode(),
}


class Explanations(explain_pb2_grpc.ExplanationServiceServicer):
    """deadline_s: for callers without a deadline; max_deadline_s: for those who set a later one."""

    def __init__(self, explainer: Explainer, deadline_s: float, max_deadline_s: float) -> None:
        self._explainer = explainer
        self._deadline_s, self._max_deadline_s = deadline_s, max_deadline_s

    async def Explain(self, request: explain_pb2.ExplainRequest, context: Any) -> explain_pb2.ExplainResponse:
        return explain_pb2.ExplainResponse(explanations=await self.explained(request, context))

    async def explained(
        self, request: explain_pb2.ExplainRequest, context: Any, endpoint: Endpoint | None = None
    ) -> list[explanation_pb2.Explanation]:
        """One per instance. endpoint: the one that the request names, as another edge of this server knows it."""
        task = to_task(request, headers_in(context))
        if endpoint is not None:
            task = replace(task, caller=replace(task.caller, endpoint=endpoint))
        answers = await self._explainer.explain(task, self._remaining(context), request_id.get())
        return [await self._encode(answer, request) for answer in answers]

    async def ExplainStream(self, request: explain_pb2.ExplainStreamRequest, context: Any) -> None:
        task = to_task(request.request, headers_in(context))
        updates: asyncio.Queue[Update | None] = asyncio.Queue()
        remaining = self._remaining(context)
        work = asyncio.create_task(
            self._explainer.explain(task, remaining, request_id.get(), updates.put_nowait)
        )
        work.add_done_callback(lambda _: updates.put_nowait(None))
        try:
            while (update := await updates.get()) is not None:
                await context.write(await self._stream_message(update, request.request))
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def PlanExplain(
        self, request: explain_pb2.PlanExplainRequest, context: Any
    ) -> explain_pb2.PlanExplainResponse:
        plan = await self._explainer.plan(to_task(request.request, headers_in(context)))
        return explain_pb2.PlanExplainResponse(plan=from_plan(plan), notes=plan.notes)

    async def ListMethods(
        self, request: explain_pb2.ListMethodsRequest, context: Any
    ) -> explain_pb2.ListMethodsResponse:
        if not request.model:
            return list_of_all()
        loop = asyncio.get_running_loop()
        caller = Caller(headers=headers_in(context))
        async with self._explainer.catalogue.lease(request.model, ModelSpec(), caller) as model:
            infos = await loop.run_in_executor(self._explainer.pool, methods_for, model)
        return explain_pb2.ListMethodsResponse(methods=infos)

    def _remaining(self, context: Any) -> float:
        given = context.time_remaining()
        return self._deadline_s if given is None else min(given, self._max_deadline_s)

    async def _stream_message(
        self, update: Update, request: explain_pb2.ExplainRequest
    ) -> explain_pb2.ExplainStreamResponse:
        match update:
            case Plan():
                return explain_pb2.ExplainStreamResponse(plan=from_plan(update))
            case Progress():
                return explain_pb2.ExplainStreamResponse(progress=from_progress(update))
            case Answer(index):
                encoded = await self._encode(update, request)
                indexed = explain_pb2.IndexedExplanation(index=index, explanation=encoded)
                return explain_pb2.ExplainStreamResponse(explanation=indexed)

    async def _encode(
        self, answer: Answer, request: explain_pb2.ExplainRequest
    ) -> explanation_pb2.Explanation:
        """Off the event loop: a picture takes tens of milliseconds."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._explainer.pool, encode_with_pictures, answer, request)


def encode_with_pictures(answer: Answer, request: explain_pb2.ExplainRequest) -> explanation_pb2.Explanation:
    """The message of an answer and the renderings its request asked for."""
    message = from_answer(answer)
    pictures = [
        explanation_pb2.Rendering(format=wanted, content=RENDERERS[wanted](message))
        for wanted in request.render
    ]
    message.renderings.extend(pictures)
    return message
