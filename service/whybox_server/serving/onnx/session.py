"""Opens onnxruntime sessions: the one place that chooses providers and session options.

Models come as bytes, never as a path, so that no file of this machine can be reached through one.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TypeAlias

import onnxruntime as ort

from whybox_server.core.errors import ModelRejected

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
ERRORS_ONLY = 3  # onnxruntime's severity; what matters of its warnings is in our own note
MOST_ERROR_TEXT = 300

CUDA_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",  # the default may nearly double the memory
    "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE tunes anew for every batch size
    "do_copy_in_default_stream": "1",
}

ProviderList: TypeAlias = "list[str | tuple[str, dict[str, str]]]"


class Provider(Enum):
    """What models run on; AUTO takes CUDA if it works."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Execution:
    """How models run.

    cores: threads that call a session at once on the CPU. threads: of one call.
    lrp: whether relevance may be led back. max_rows: most rows in a call. max_probed_rows: likewise, where the graph keeps its activations for
    the way back: 32 pictures through ResNet-50 hold 3 GB. reproducible_rows: rows of every call in REPRODUCIBLE mode.
    """

    provider: Provider = Provider.AUTO
    cores: int = 1
    threads: int = 1
    max_rows: int = 512
    max_probed_rows: int = 32
    reproducible_rows: int = 16
    lrp: bool = True
    device_rows: bool | None = None  # build masked rows with the prelude; None: on CUDA only


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A session and what it really runs on. note: empty, or why that is not what was asked for.

    nodes: how many run on each provider, after the runtime's own fusions.
    """

    session: ort.InferenceSession
    provider: str
    note: str
    nodes: Mapping[str, int]


def open_session(model: bytes, execution: Execution) -> Opened:
    """Load a model. Raises ModelRejected with the runtime's reason if it cannot be loaded."""
    wanted, note = providers(execution.provider)
    session = _session(model, execution, wanted)
    provider = session.get_providers()[0]
    if not note and provider != _name(wanted[0]):
        note = f"CUDA was asked for but onnxruntime could not start it; models run on {provider}"
    return Opened(session, provider, note, placement(session))


def placement(session: ort.InferenceSession) -> Mapping[str, int]:
    """Nodes by the provider that runs them; {} where the runtime is too old to say."""
    try:
        assigned = session.get_provider_graph_assignment_info()
    except AttributeError:
        return {}
    found: Counter[str] = Counter()
    for part in assigned:
        found[part.ep_name] += len(part.get_nodes())
    return dict(found)


@cache
def providers(wanted: Provider) -> tuple[ProviderList, str]:
    """Providers to ask for, best first, and one line if CUDA was asked for and cannot be had."""
    if wanted is Provider.CPU:
        return [CPU], ""
    if CUDA not in ort.get_available_providers():
        missing = "this onnxruntime was built without CUDA (install whybox[gpu])"
    elif not _gpus():
        missing = "this machine has no usable NVIDIA GPU or driver"
    else:
        ort.preload_dlls()  # CUDA and cuDNN from their wheels, where they are installed so
        return [(CUDA, CUDA_OPTIONS), CPU], ""
    return [CPU], f"models run on the CPU: {missing}" if wanted is Provider.CUDA else ""


def _gpus() -> int:
    """GPUs the driver knows; asked before onnxruntime is, which would print a page of errors instead."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _session(model: bytes, execution: Execution, wanted: ProviderList) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = execution.threads
    options.log_severity_level = ERRORS_ONLY
    # Spinning threads burn a core between calls: 0.77 s of CPU against 0.06 s for 100 calls in a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        return ort.InferenceSession(model, options, providers=wanted)
    except Exception as error:  # the runtime has an exception class per status, without a common base
        raise ModelRejected(f"onnxruntime cannot load the model: {reason(error)}", rule="RUNTIME") from error


def reason(error: Exception) -> str:
    """What onnxruntime says, without its prefix, on one line."""
    said = " ".join(str(error).split())
    return said.rpartition("[ONNXRuntimeError] : ")[2][:MOST_ERROR_TEXT]


def _name(provider: str | tuple[str, dict[str, str]]) -> str:
    return provider if isinstance(provider, str) else provider[0]
