"""What must not change an answer: Redis in any state, a restart, neighbours who fail, another event loop."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from tests.e2e.serving import INPUTS, Server, running
from tests.e2e.test_bad_input import raises_for_some_rows
from tests.redis import redis_server

import whybox
import whybox.aio

DIGIT = np.load(INPUTS / "digit.npy")
PICTURE = INPUTS / "brick_and_grass.png"


def ask(client: whybox.Client, seed: int = 5) -> whybox.Explanation:
    return client.explain("models/texture", PICTURE, "lime", num_samples=120, seed=seed, mode="reproducible")


def test_the_same_bytes_after_a_restart_and_from_redis() -> None:
    """A server without Redis, a new one that fills it, a third that reads it: one answer, and no row sent at last."""
    with redis_server() as redis:
        shared = ("--redis", redis.url, "--cache-secret", "suite")
        with running() as own, whybox.Client(own.address) as client:
            alone = ask(client)
        with running(*shared) as own, whybox.Client(own.address) as client:
            filled = ask(client)
        with running(*shared) as own, whybox.Client(own.address) as client:
            read = ask(client)
    assert alone.usage.rows_sent == filled.usage.rows_sent == 120
    assert read.usage.rows_sent == 0
    assert alone.values.tobytes() == filled.values.tobytes() == read.values.tobytes()


def test_another_secret_reads_nothing() -> None:
    """Names in Redis are keyed: a stranger with the same Redis cannot tell what was asked."""
    with redis_server() as redis:
        for secret in ("ours", "theirs"):
            with running("--redis", redis.url, "--cache-secret", secret) as own, whybox.Client(own.address) as client:
                assert ask(client).usage.rows_cached == 0


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_redis_costs_no_explanation(fault: str) -> None:
    """It dies or hangs between two calls: the second is answered all the same, with the same numbers."""
    with redis_server() as redis, running("--redis", redis.url, "--cache-mib", "0") as own:
        with whybox.Client(own.address) as client:
            before = ask(client)
            redis.kill() if fault == "killed" else redis.stop()
            try:
                after = ask(client)
            finally:
                if fault == "frozen":
                    redis.resume()
    assert before.values.tobytes() == after.values.tobytes()


def test_a_neighbour_whose_model_raises_disturbs_nobody(server: Server) -> None:
    """Good and bad calls side by side: the bad ones fail with their own reason, the good ones are complete."""
    outcomes: list[str] = []

    def good(seed: int) -> None:
        with whybox.Client(server.address) as client:
            outcomes.append(str(client.explain("models/digits", DIGIT, "lime", num_samples=300, seed=seed).complete))

    def bad() -> None:
        with whybox.Client(server.address) as client, pytest.raises(whybox.ExplainError) as failed:
            client.explain(raises_for_some_rows(), np.ones(4, np.float32), "occlusion", baseline=7.0)
        outcomes.append(failed.value.reason)

    threads = [threading.Thread(target=good, args=(seed,)) for seed in range(200, 204)]
    threads += [threading.Thread(target=bad) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["MODEL_EXECUTION_FAILED"] * 3 + ["True"] * 4


def test_the_asynchronous_client_gives_the_same_answers(server: Server, client: whybox.Client) -> None:
    """Four calls at once on one channel, against the synchronous twin, bit for bit."""

    async def all_at_once() -> list[whybox.Explanation]:
        async with whybox.aio.Client(server.address) as twin:
            calls = (
                twin.explain("models/digits", DIGIT, "lime", num_samples=200, seed=seed, mode="reproducible")
                for seed in range(4)
            )
            return list(await asyncio.gather(*calls))

    for seed, answer in enumerate(asyncio.run(all_at_once())):
        same = client.explain("models/digits", DIGIT, "lime", num_samples=200, seed=seed, mode="reproducible")
        assert answer.values.tobytes() == same.values.tobytes()
