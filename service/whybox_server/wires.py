"""The wires by which a service is reached: gRPC with its health, JSON over HTTP, and KServe's ways over both.

All of them lead to the same servicers through the same guard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from whybox.v1 import endpoint_pb2_grpc, explain_pb2_grpc, model_pb2_grpc
from whybox_server.api import server as grpc_server
from whybox_server.api.endpoint_calls import EndpointCalls
from whybox_server.api.explanations import Explanations
from whybox_server.api.guard import Guard
from whybox_server.api.models import Models
from whybox_server.engine.explainer import Explainer
from whybox_server.http.edge import make_app
from whybox_server.http.server import HttpServer
from whybox_server.kserve import oip, openapi, published, v1, v2
from whybox_server.kserve.defaults import defaults_of
from whybox_server.kserve.desk import Desk
from whybox_server.kserve.meters import Meters
from whybox_server.kserve.predictor import Predictor
from whybox_server.serving.remote.declared import PREFIX as ENDPOINTS
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.transport import Transport
from whybox_server.settings import MIB, Settings, split_address

log = structlog.get_logger("whybox.app")

VERSION = metadata.version("whybox")


@dataclass(frozen=True, slots=True, eq=False)
class Wires:
    """registry: what `GET /metrics` tells; meters: of KServe's calls, in it. way: to a predictor behind us."""

    settings: Settings
    explainer: Explainer
    registry: CollectorRegistry
    meters: Meters
    way: Callable[[Endpoint], Transport]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Serves while the context is open, and drains at its end; yields gRPC's "HOST:PORT".

        Raises OSError when a port is taken, ValueError for parameters of the operator that no method takes.
        """
        settings, transport = self.settings, transport_of(self.settings)
        guard = Guard(self.explainer.events)
        server = grpc_server.make_server(transport, [guard])
        explanations, servicers = self._servicers(server)
        health = grpc_server.add_health(server)
        desk = self._desk(explanations, partial(grpc_server.say_ready, health))
        oip.add_to(server, oip.Inference(desk, VERSION, self.meters))
        grpc_server.add_reflection(server, (published.SERVICE,), published.Published())
        port = grpc_server.add_port(server, transport)
        async with AsyncExitStack() as stack:
            if settings.health_listen is not None:
                probed, address = await grpc_server.open_health_port(health, settings.health_listen)
                stack.push_async_callback(probed.stop, 0)  # after the drain, which it has told of
                log.info("serving health", address=address)
            await server.start()
            await grpc_server.say_serving(health, (published.SERVICE,))
            if desk.predictor is not None:
                await desk.predictor.start()
                stack.push_async_callback(desk.predictor.close)
            stops: list[Callable[[], Awaitable[Any]]] = [lambda: server.stop(settings.drain_s)]
            stack.push_async_callback(self._drain, health, stops)
            if settings.http_listen is not None:
                routes = self._kserve_routes(desk, guard)
                app = make_app(
                    servicers, guard, transport.message_bytes, desk.all_ready, routes, openapi.described()
                )
                http = HttpServer(app, replace(transport, listen=settings.http_listen), settings.drain_s)
                log.info("serving http", address=await http.start())
                stops.append(http.stop)
            host, _ = split_address(settings.listen, "listen")
            yield f"{host}:{port}"

    def _servicers(self, server: Any) -> tuple[Explanations, Mapping[str, Any]]:
        """Our own services, answered by this server; all of them by full name."""
        settings, catalogue = self.settings, self.explainer.catalogue
        explanations = Explanations(self.explainer, settings.default_deadline_s, settings.max_deadline_s)
        models, endpoints = Models(catalogue, settings.model_mib * MIB), EndpointCalls(catalogue.endpoints)
        explain_pb2_grpc.add_ExplanationServiceServicer_to_server(explanations, server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(models, server)
        endpoint_pb2_grpc.add_EndpointServiceServicer_to_server(endpoints, server)
        return explanations, {
            "whybox.v1.ExplanationService": explanations,
            "whybox.v1.ModelService": models,
            "whybox.v1.EndpointService": endpoints,
        }

    def _desk(self, explanations: Explanations, heed: Callable[[bool], Awaitable[None]]) -> Desk:
        """Where KServe's wires lead. heed: hears whether the predictor behind us answers."""
        settings, catalogue = self.settings, self.explainer.catalogue
        predictor = None
        if settings.behind():
            endpoint = catalogue.endpoints.declared.endpoints[f"{ENDPOINTS}{settings.model_name}"]
            predictor = Predictor(endpoint, self.way, heed)
        defaults = defaults_of(settings.explain_method, settings.explain_parameters)
        return Desk(catalogue, explanations, lambda: self.explainer.admission.draining, predictor, defaults)

    def _kserve_routes(self, desk: Desk, guard: Guard) -> list[Route]:
        most = self.settings.message_mib * MIB
        told = self.registry if self.settings.model_name else None  # KServe's clusters look for metrics on this port
        return [
            *v1.routes(desk, guard, most, self.meters, told),
            *v2.routes(desk, guard, most, VERSION, self.meters),
        ]

    async def _drain(self, health: Any, stops: list[Callable[[], Awaitable[Any]]]) -> None:
        """Tell probes, close the doors politely, let the running calls end, cancel the rest when time is up."""
        self.explainer.admission.draining = True
        await health.enter_graceful_shutdown()
        await asyncio.gather(*(stop() for stop in stops))


def transport_of(settings: Settings) -> grpc_server.Transport:
    return grpc_server.Transport(
        listen=settings.listen,
        message_bytes=settings.message_mib * MIB,
        max_deadline_s=settings.max_deadline_s,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
    )
