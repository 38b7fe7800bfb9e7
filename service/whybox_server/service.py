"""The composition root: everything of a server, wired. With `wires`, it alone knows every class."""

from __future__ import annotations

import secrets
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from whybox_server.engine.admission import Admission
from whybox_server.engine.catalogue import Catalogue
from whybox_server.engine.endpoints import Endpoints
from whybox_server.engine.events import Events
from whybox_server.engine.explainer import Explainer
from whybox_server.engine.kept import Kept
from whybox_server.engine.shelf import Shelf
from whybox_server.kserve.meters import Meters
from whybox_server.observe import logs
from whybox_server.observe.metrics import Metrics
from whybox_server.serving.batch.batcher import Batcher
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.cache.keys import Namer
from whybox_server.serving.cache.paid_file import PaidFile
from whybox_server.serving.cache.paying import Paying
from whybox_server.serving.cache.redis_store import RedisOptions, RedisStore
from whybox_server.serving.onnx.session import Execution, Provider
from whybox_server.serving.onnx.vet import Limits
from whybox_server.serving.remote import census
from whybox_server.serving.remote.declared import parse, read
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.opening import Opener
from whybox_server.serving.remote.register import Register
from whybox_server.serving.remote.transport.carrier import Carrier, carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of
from whybox_server.settings import MIB, Settings, split_address, usable_cores
from whybox_server.wires import Wires

MOST_OPEN_ENDPOINTS = 256  # at once; what nobody uses is hung up first


class Service:
    """Everything of one server, wired; `open` starts it and ends it in the right order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        cores = settings.cores or usable_cores()
        self.events = Events()
        self.metrics = Metrics()
        self.meters = Meters(self.metrics.registry)
        self.events.subscribers += [logs.tell, self.metrics.tell]
        self.pool = ThreadPoolExecutor(max(2, cores), thread_name_prefix="method")
        self.batcher = Batcher(slots=cores)
        self.cache = cache_of(settings, self.batcher, self.pool)
        self.register = Register(settings.endpoint_state)
        self.way = way_of(settings)
        self.endpoints = endpoints_of(settings, self.way, self.register, self.events)
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
            wires = Wires(settings, self.explainer, self.metrics.registry, self.meters, self.way)
            yield await stack.enter_async_context(wires.open())


def way_of(settings: Settings) -> Callable[[Endpoint], Carrier]:
    """How an endpoint is reached, and which may be."""
    dialler, wallet = Dialler(egress_of(settings.allow_egress.split(","))), Wallet()
    return lambda endpoint: carrier_to(endpoint, dialler, wallet)


def endpoints_of(
    settings: Settings, way: Callable[[Endpoint], Carrier], register: Register, events: Events
) -> Endpoints:
    """Raises DescriptionError for an endpoints.yaml that says something wrong."""
    behind = settings.behind()
    declared = parse("", Path(), behind) if settings.endpoints is None else read(settings.endpoints, behind)
    opener = Opener(way, register)
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


def _stop_exporter(exporter: Any, thread: threading.Thread) -> None:
    exporter.shutdown()
    exporter.server_close()
    thread.join()
