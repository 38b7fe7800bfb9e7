"""LIME of a model that MLServer serves, against calling MLServer by hand with requests that are written already."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import count, product
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tests.benchmarks import nets
from tests.benchmarks.raw import masked_rows
from tests.benchmarks.row import Row, at_most
from tests.benchmarks.speed import SPEC, picture
from tests.peers import servers
from tests.peers.environments import installed

import whybox
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

ROWS, KEPT_ROWS, TRIED_ROWS, REPEATS = 256, 64, 64, 5
BATCHES, AT_ONCE = (4, 8, 16, 32), (1, 2, 4)
MESSAGE_BYTES = 64 << 20
METHOD = "/inference.GRPCInferenceService/ModelInfer"
MODEL = "cnn"
seeds = count(1)  # every call asks new rows, so that no cache answers them


@dataclass(frozen=True)
class Tuning:
    """Rows per call, and calls at once."""

    batch: int
    at_once: int


def rows() -> list[Row]:
    """The hand loop's best tuning is what the endpoint declares; both are measured in turn."""
    what = f"LIME {ROWS} rows, OIP gRPC, small CNN behind MLServer: wall / a tuned loop by hand"
    if installed("mlserver") is None:
        return [Row(what, "MLServer is not installed (WHYBOX_PEERS=1 pytest tests/peers)", "", kept=True)]
    more = {"grpc_max_message_length": MESSAGE_BYTES}
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.mlserver(Path(folder), {MODEL: nets.small_cnn()}, more=more) as peer,
        whybox.local(allow_egress=["127.0.0.0/8"]) as client,
    ):
        target = peer.grpc.removeprefix("grpc://")
        best = min(tunings(), key=lambda tuning: by_hand(target, tuning, TRIED_ROWS))
        ratios = list(measured(client, peer.grpc, target, best))
    note = f" ({best.batch} rows a call, {best.at_once} at once; from {min(ratios):.2f} to {max(ratios):.2f})"
    return [at_most(what, statistics.median(ratios), 1.15, note)]


def measured(client: whybox.Client, url: str, target: str, tuning: Tuning) -> Iterable[float]:
    """Ratios, after an explanation that opens the connection and shows how long calls take."""
    endpoint = whybox.Endpoint(
        url,
        protocol="oip-grpc",
        model=MODEL,
        spec=SPEC,
        rows_per_call=tuning.batch,
        concurrency=tuning.at_once,
        bytes_per_call=MESSAGE_BYTES,
    )
    explained(client, endpoint)
    for _ in range(REPEATS):
        before = by_hand(target, tuning, ROWS)
        wall = explained(client, endpoint)
        yield wall / ((before + by_hand(target, tuning, ROWS)) / 2)


def explained(client: whybox.Client, endpoint: whybox.Endpoint) -> float:
    """Seconds of LIME on squares of 32 x 32 pixels."""
    squares = np.kron(np.arange(49).reshape(7, 7), np.ones((32, 32), int))[None]
    started = time.perf_counter()
    e = client.explain(endpoint, picture(), "lime", num_samples=ROWS, seed=next(seeds), segmentation=squares)
    wall = time.perf_counter() - started
    assert e.usage.rows_sent >= ROWS - 5, e.usage  # the instance itself is the same in every call
    return wall


def tunings() -> list[Tuning]:
    return [Tuning(*pair) for pair in product(BATCHES, AT_ONCE)]


def by_hand(target: str, tuning: Tuning, total: int) -> float:
    """Seconds of `total` rows from as many threads as calls, requests written and connections opened before."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(target, options) for _ in range(tuning.at_once)]
    asks: list[Any] = [channel.unary_unary(METHOD) for channel in channels]
    requests = written(tuning.batch)

    def ask(call: Any, request: bytes) -> np.ndarray:
        reply = pb.ModelInferResponse.FromString(call(request))
        return np.frombuffer(reply.raw_output_contents[0], np.float32).reshape(reply.outputs[0].shape)

    def share(place: int) -> None:
        for number in range(place, total // tuning.batch, tuning.at_once):
            ask(asks[place], requests[number % len(requests)])

    with ThreadPoolExecutor(tuning.at_once) as threads:
        list(threads.map(lambda call: ask(call, requests[0]), asks))
        started = time.perf_counter()
        list(threads.map(share, range(tuning.at_once)))
        took = time.perf_counter() - started
    for channel in channels:
        channel.close()
    return took


@cache
def written(batch: int) -> list[bytes]:
    """Requests for all the kept rows."""
    rows = np.stack(list(masked_rows(picture(), KEPT_ROWS)))
    tensor = pb.InferTensor(name="image", datatype="FP32", shape=(batch, *rows.shape[1:]))
    parts = (rows[start : start + batch] for start in range(0, KEPT_ROWS, batch))
    messages = (
        pb.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[part.tobytes()])
        for part in parts
    )
    return [message.SerializeToString() for message in messages]
