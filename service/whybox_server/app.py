"""The composition root: the only file that knows every class.

whybox serve            -> serve_main
whybox.local()          -> EmbeddedServer
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client import start_http_server
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from whybox.v1 import endpoint_pb2_grpc, explain_pb2_grpc, model_pb2_grpc
from whybox_server.api import server as grpc_server
from whybox_server.api.endpoint_calls import EndpointCalls
from whybox_server.api.explanations import Explanations
from whybox_server.api.guard import Guard
from whybox_server.api.models import Models
from whybox_server.engine.admission import Admission
from whybox_server.engine.catalogue import Catalogue
from whybox_server.engine.endpoints import Endpoints
from whybox_server.engine.events import Events
from whybox_server.engine.explainer import Explainer
from whybox_server.engine.kept import Kept
from whybox_server.engine.shelf import Shelf
from whybox_server.http.edge import make_app
from whybox_server.http.server import HttpServer
from whybox_server.observe import logs
from whybox_server.observe.metrics import Metrics
from whybox_server.serving.batch.batcher import Batcher
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.cache.keys import Namer
from whybox_server.serving.cache.paid_file import PaidFile
from whybox_server.serving.cache.paying import Paying
from whybox_server.serving.cache.redis_store import RedisOptions, RedisStore
from whybox_server.serving.onnx.session import Execution, Provider, providers
from whybox_server.serving.onnx.vet import Limits
from whybox_server.serving.remote import census
from whybox_server.serving.remote.declared import Declared, read
from whybox_server.serving.remote.opening import Opener
from whybox_server.serving.remote.register import Register
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of
from whybox_server.settings import MIB, Settings, from_command_line, split_address, usable_cores

log = structlog.get_logger("whybox.app")

USAGE_ERROR = 2
MOST_OPEN_ENDPOINTS = 256  # at once; what nobody uses is hung up first


class Service:
    """Everything of one server, wired; `open` starts it and ends it in the right order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        cores = settings.cores or usable_cores()
        self.events = Events()
        self.metrics = Metrics()
        self.events.subscribers += [logs.tell, self.metrics.tell]
        self.pool = ThreadPoolExecutor(max(2, cores), thread_name_prefix="method")
        self.batcher = Batcher(slots=cores)
        self.cache = cache_of(settings, self.batcher, self.pool)
        self.register = Register(settings.endpoint_state)
        self.endpoints = endpoints_of(settings, self.register, self.events)
        self.catalogue = Catalogue(
            sources=dict if settings.models is None else Shelf(settings.models).sources,
            execution=Execution(provider=Provider(settings.provider), cores=cores, lrp=not settings.disable_lrp),
            limits=Limits(size_bytes=settings.model_mib * MIB),
            max_bytes=settings.sessions_mib * MIB,
            trust_uploads=settings.trust_uploads,
            events=self.events,
            loaded=Kept(settings.sessions_mib * MIB),
            endpoints=self.endpoints,
        )
        self.admission = Admission(
            settings.max_explanations, settings.max_backlog_s, lambda: self.batcher.backlog().seconds
        )
        self.explainer = Explainer(
            self.catalogue, self.cache, self.admission, self.pool, self.events, self.batcher.seconds_per_row
        )
        self._watch()

    def _watch(self) -> None:
        self.metrics.watch(
            gauges={
                "running_calls": lambda: self.admission.running,
                "backlog_rows": lambda: self.batcher.backlog().rows,
                "backlog_seconds": lambda: self.batcher.backlog().seconds,
                "cache_bytes": lambda: self.cache.stats().lru_bytes,
            },
            counters={
                "cache_hits_lru": lambda: self.cache.stats().hits_lru,
                "cache_hits_in_flight": lambda: self.cache.stats().hits_flight,
                "cache_hits_redis": lambda: self.cache.stats().hits_redis,
                "cache_misses": lambda: self.cache.stats().misses,
                "cache_written": lambda: self.cache.stats().written,
                "cache_dropped": lambda: self.cache.stats().dropped,
                "cache_errors": lambda: sum(self.cache.stats().errors.values()),
            },
        )
        declared = self.endpoints.declared.endpoints
        self.metrics.watch_each(
            "endpoint", lambda: census.census(self.register, declared.values()), census.GAUGES, census.COUNTERS
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Serves while the context is open; yields "HOST:PORT". Raises OSError when a port is taken."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.callback(self.pool.shutdown, wait=False, cancel_futures=True)
            stack.callback(self.catalogue.close)
            await self.batcher.start()
            stack.push_async_callback(self.batcher.close)
            await self.cache.start()
            stack.push_async_callback(self.cache.close)
            if settings.metrics_listen is not None:
                host, port = split_address(settings.metrics_listen, "metrics_listen")
                exporter, thread = start_http_server(port, host, self.metrics.registry)
                stack.callback(_stop_exporter, exporter, thread)
            transport = transport_of(settings)
            guard = Guard(self.events)
            server = grpc_server.make_server(transport, [guard])
            explanations = Explanations(self.explainer, settings.default_deadline_s, settings.max_deadline_s)
            models, endpoints = Models(self.catalogue, settings.model_mib * MIB), EndpointCalls(self.endpoints)
            explain_pb2_grpc.add_ExplanationServiceServicer_to_server(explanations, server)
            model_pb2_grpc.add_ModelServiceServicer_to_server(models, server)
            endpoint_pb2_grpc.add_EndpointServiceServicer_to_server(endpoints, server)
            health = grpc_server.add_health(server)
            grpc_server.add_reflection(server)
            port = grpc_server.add_port(server, transport)
            await server.start()
            await grpc_server.say_serving(health)
            stops: list[Callable[[], Awaitable[Any]]] = [lambda: server.stop(settings.drain_s)]
            stack.push_async_callback(self._drain, health, stops)
            if settings.http_listen is not None:
                servicers = {
                    "whybox.v1.ExplanationService": explanations,
                    "whybox.v1.ModelService": models,
                    "whybox.v1.EndpointService": endpoints,
                }
                app = make_app(servicers, guard, transport.message_bytes, lambda: not self.admission.draining)
                http = HttpServer(app, replace(transport, listen=settings.http_listen), settings.drain_s)
                log.info("serving http", address=await http.start())
                stops.append(http.stop)
            host, _ = split_address(settings.listen, "listen")
            yield f"{host}:{port}"

    async def _drain(self, health: Any, stops: Sequence[Callable[[], Awaitable[Any]]]) -> None:
        """Refuse newcomers, let the running calls end, cancel the rest when time is up."""
        self.admission.draining = True
        await health.enter_graceful_shutdown()
        await asyncio.gather(*(stop() for stop in stops))


def endpoints_of(settings: Settings, register: Register, events: Events) -> Endpoints:
    """Raises DescriptionError for an endpoints.yaml that says something wrong."""
    declared = Declared() if settings.endpoints is None else read(settings.endpoints)
    dialler, wallet = Dialler(egress_of(settings.allow_egress.split(","))), Wallet()
    opener = Opener(lambda endpoint: carrier_to(endpoint, dialler, wallet), register)
    return Endpoints(declared, opener.check, opener.open, Kept(MOST_OPEN_ENDPOINTS), settings.inline_endpoints, events)


def cache_of(settings: Settings, batcher: Batcher, pool: Executor) -> Cache:
    """Raises ValueError for a file of answers that cannot be used."""
    size = settings.cache_mib * MIB
    if settings.answers is not None:
        # Names in a file that lies beside what it is about need no secret, and must outlive this process.
        secret = settings.cache_secret.encode()
        paid = PaidFile(settings.answers, settings.most_rows)
        return Cache(Paying(batcher, paid, Namer(secret)), size, paid, secret, pool)
    secret = settings.cache_secret.encode() or secrets.token_bytes(32)
    store = None if settings.redis is None else RedisStore(RedisOptions(url=settings.redis))
    return Cache(batcher, size, store, secret, pool)


def transport_of(settings: Settings) -> grpc_server.Transport:
    return grpc_server.Transport(
        listen=settings.listen,
        message_bytes=settings.message_mib * MIB,
        max_deadline_s=settings.max_deadline_s,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
    )


def _stop_exporter(exporter: Any, thread: threading.Thread) -> None:
    exporter.shutdown()
    exporter.server_close()
    thread.join()


async def serve(settings: Settings, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; `ready` hears the address."""
    _, note = providers(Provider(settings.provider))
    if note:
        log.warning("provider", note=note)
    async with Service(settings).open() as address:
        ready(address)
        await stop.wait()
        log.info("draining", seconds=settings.drain_s)


async def _serve_until_signal(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, lambda address: log.info("serving", address=address), stop)


def serve_main(argv: Sequence[str]) -> int:
    """`whybox serve`: exit status 0 after a drained stop, 1 when a port is taken, 2 for wrong settings."""
    try:
        settings = from_command_line(argv)
    except ValidationError as error:
        for problem in error.errors():
            field = "-".join(map(str, problem["loc"])).replace("_", "-")
            print(f"whybox serve: {'--' + field + ': ' if field else ''}{_plain(problem['msg'])}", file=sys.stderr)
        return USAGE_ERROR
    logs.configure(settings.log_format, settings.log_level)
    # The batcher owns the cores; and sums whose order depends on the number of threads are not reproducible.
    threadpool_limits(1, user_api="blas")
    try:
        asyncio.run(_serve_until_signal(settings))
    except OSError as error:
        print(f"whybox serve: {error}", file=sys.stderr)
        return 1
    return 0


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


class EmbeddedServer:
    """A server inside this process, on a loopback port of its own, in a thread with its own event loop."""

    def __init__(self, **settings: Any) -> None:
        # What its own process hands over is trusted like the operator's folder.
        trusting = {"trust_uploads": True, "inline_endpoints": True}
        defaults = {"listen": "127.0.0.1:0", "log_level": "error", "drain_s": 0.0, **trusting}
        self._settings = Settings(**{**defaults, **settings})
        self._ready = threading.Event()
        self._address = ""
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="whybox", daemon=True)

    def start(self) -> str:
        """Returns "HOST:PORT" once calls are served; raises what hindered it."""
        logs.configure(self._settings.log_format, self._settings.log_level)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self._address

    def stop(self) -> None:
        """Ends running calls and waits for the thread. Calling it again does nothing."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as failure:  # noqa: BLE001 - handed to the thread that called start
            self._failure = failure
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def ready(address: str) -> None:
            self._address = address
            self._ready.set()

        await serve(self._settings, ready, self._stop)
