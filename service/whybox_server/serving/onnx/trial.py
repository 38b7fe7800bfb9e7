"""First load of a model nobody vouches for: in a child process with little to lose.

The child vets the file, opens a session, and asks for one row of zeros, under limits on memory, CPU
and files. Whatever it does to itself, this process lives on and learns of it by a refusal.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from whybox_server.core.errors import ModelRejected, TooLarge, WhyboxError
from whybox_server.serving.onnx.vet import MIB, Limits

READY = b"ready\n"  # what the child says once it has its libraries: from then on the model is to blame
REFUSED = 3  # exit status of a child that judged the model; its verdict follows READY
MOST_TEXT = 500
MOST_OPEN_FILES = 64
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")  # of the environment: nothing that may be secret
NO_MEMORY = ("bad_alloc", "allocate memory")  # what onnxruntime says of it


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the child may take. memory_bytes: of address space; onnxruntime alone maps a gigabyte."""

    memory_bytes: int = 6144 * MIB
    cpu_s: int = 60
    wall_s: float = 90.0
    limits: Limits = field(default_factory=Limits)


async def trial(data: bytes, bounds: Bounds | None = None) -> None:
    """Try a model out. Returns if it loads; a row of zeros it may refuse, as some models do.

    Raises ModelRejected, with the rule of `vet` or TRIAL_MEMORY, TRIAL_TIME, TRIAL_CRASH; TooLarge.
    Nothing of the child is left when it returns, raises, or is cancelled.
    """
    bounds = bounds or Bounds()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        __spec__.name,
        json.dumps(asdict(bounds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
    )
    try:
        async with asyncio.timeout(bounds.wall_s):
            verdict, said = await child.communicate(data)
    except TimeoutError:
        raise ModelRejected(
            f"loading the model took more than {bounds.wall_s:g} s", rule="TRIAL_TIME"
        ) from None
    finally:
        await _end(child)
    if not verdict.startswith(READY):
        raise RuntimeError(f"the trial process did not start: {said[-MOST_TEXT:].decode(errors='replace')}")
    _judge(child.returncode or 0, verdict.removeprefix(READY), bounds)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child if it still runs, and wait for it, even while being cancelled."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.kill()
        await asyncio.shield(child.wait())


def _judge(status: int, verdict: bytes, bounds: Bounds) -> None:
    if status == 0:
        return
    if status == REFUSED:
        said = json.loads(verdict)
        error = TooLarge if said["reason"] == TooLarge.reason.value else ModelRejected
        raise error(said["message"], **said["details"])
    if status == -signal.SIGXCPU:
        raise ModelRejected(f"loading the model took more than {bounds.cpu_s} s of CPU", rule="TRIAL_TIME")
    raise ModelRejected(
        "the model ended the process that tried to load it, by using too much memory or by crashing",
        rule="TRIAL_CRASH",
    )


def _limit(bounds: Bounds) -> None:
    """Give up, for this process and for ever, what a model has no need of."""
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu_s, bounds.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_OPEN_FILES, MOST_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory_bytes, bounds.memory_bytes))


def _refuse(error: WhyboxError) -> int:
    said = {"reason": error.reason.value, "message": str(error), "details": dict(error.details)}
    sys.stdout.write(json.dumps(said))
    return REFUSED


def _tried(data: bytes, limits: Limits) -> None:
    """Load the model. Raises ModelRejected, TooLarge, MemoryError."""
    from whybox_server.serving.onnx.load import load  # noqa: PLC0415  in the parent this would be a cycle

    try:
        model = load(data, limits=limits)
    except ModelRejected as error:
        if _no_memory(str(error)):
            raise MemoryError from error
        raise
    if _no_memory(model.seen.failure):
        raise MemoryError


def _no_memory(text: str) -> bool:
    return any(words in text for words in NO_MEMORY)


def main(options: str) -> int:
    """The child: exit status 0 if the model on stdin may be loaded."""
    given = json.loads(options)
    bounds = Bounds(**{**given, "limits": Limits(**given["limits"])})
    data = sys.stdin.buffer.read()
    import whybox_server.serving.onnx.load  # noqa: F401, PLC0415  before memory is limited

    sys.stdout.write(READY.decode())
    sys.stdout.flush()
    _limit(bounds)
    try:
        _tried(data, bounds.limits)
    except MemoryError:
        return _refuse(
            ModelRejected(
                "loading the model and asking it for a row of zeros takes too much memory",
                rule="TRIAL_MEMORY",
            )
        )
    except WhyboxError as error:
        return _refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
