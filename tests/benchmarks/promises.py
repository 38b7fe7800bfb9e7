"""Promises that are numbers but not speed: fairness, memory, reproducibility, start-up."""

from __future__ import annotations

import statistics
import threading
import time

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.benchmarks import nets
from tests.benchmarks.row import Row, at_most
from tests.benchmarks.speed import SPEC, picture, seeds, warm
from tests.e2e.serving import running
from tests.redis import redis_server

import whybox

MIB = 1 << 20


def fairness() -> list[Row]:
    """A 500-row call beside a 60,000-row one, against the same beside an equal one."""
    model = nets.small_cnn()
    slowdowns = []
    with warm(model) as client:

        def small() -> float:
            started = time.perf_counter()
            client.explain(model, picture(), "lime", num_samples=500, seed=next(seeds), spec=SPEC)
            return time.perf_counter() - started

        def beside(rows: int) -> float:
            other = threading.Thread(target=big, args=(rows,))
            other.start()
            time.sleep(0.05)
            took = small()
            other.join()
            return took

        def big(rows: int) -> None:
            client.explain(model, picture(), "lime", num_samples=rows, seed=next(seeds), spec=SPEC)

        equal = [beside(500) for _ in range(5)]
        heavy = threading.Thread(target=big, args=(60_000,))
        heavy.start()
        time.sleep(1.0)
        while heavy.is_alive() and len(slowdowns) < 7:
            slowdowns.append(small() / statistics.median(equal))
        alive = heavy.is_alive()
        heavy.join()
    assert alive, "the heavy call ended before the small ones were measured"
    return [at_most("500-row call beside a 60,000-row one / beside an equal one", statistics.median(slowdowns), 2)]


def memory() -> list[Row]:
    """Peak memory of the server process during LIME with 10,000 rows, above what it had after 300 rows."""
    model = nets.small_cnn()
    with running("--trust-uploads", models=None) as server, whybox.Client(server.address) as client:
        client.explain(model, picture(), "lime", num_samples=300, seed=1, spec=SPEC)
        process, peak, done = psutil.Process(server.process.pid), 0, threading.Event()
        before = process.memory_info().rss

        def watch() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, process.memory_info().rss)
                time.sleep(0.005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        e = client.explain(model, picture(), "lime", num_samples=10_000, seed=2, spec=SPEC)
        done.set()
        watcher.join()
    assert e.usage.rows_asked == 10_000
    return [at_most("extra memory, LIME 10,000 rows at 224x224x3, MB", (peak - before) / 1e6, 300, digits=0)]


def reproducible() -> list[Row]:
    """The bytes of one REPRODUCIBLE answer alone, under load, after a restart, and from Redis."""
    model = nets.small_cnn()

    def ask(client: whybox.Client, seed: int) -> tuple[bytes, int]:
        e = client.explain(model, picture(), "lime", num_samples=300, seed=seed, spec=SPEC, mode="reproducible")
        return e.values.tobytes() + e.standard_errors.tobytes(), e.usage.rows_sent

    with redis_server() as redis:
        flags = ("--trust-uploads", "--redis", redis.url, "--cache-secret", "bench")
        with running("--trust-uploads", models=None) as server, whybox.Client(server.address) as client:
            alone, _ = ask(client, 5)
        with running(*flags, models=None) as server, whybox.Client(server.address) as client:
            others = [threading.Thread(target=ask, args=(client, seed)) for seed in range(100, 107)]
            for other in others:
                other.start()
            loaded, sent_loaded = ask(client, 5)
            for other in others:
                other.join()
        with running(*flags, models=None) as server, whybox.Client(server.address) as client:
            from_redis, sent_redis = ask(client, 5)
    assert sent_loaded > 0
    same = alone == loaded == from_redis
    return [
        Row("REPRODUCIBLE: same bytes alone, under load, after restart, from Redis", str(same), "True", same),
        Row("    rows sent when Redis had them", str(sent_redis), "0", sent_redis == 0),
    ]


def ready() -> list[Row]:
    """From starting the process to the health service saying SERVING, no models."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        with running(models=None) as server, grpc.insecure_channel(server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
            times.append(time.perf_counter() - started)
    return [at_most("server ready after start, no models, s", statistics.median(times), 3)]
