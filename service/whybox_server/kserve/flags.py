"""KServe's command line in our words: what its controller appends, and what its SDK's servers take.

One flag of KServe's that we do not have, with its underscores, turns the whole command line into KServe's: its
defaults hold, the last of several flags counts, and flags that nobody knows are left out and told. All of that is
laid under what the operator says in our own words, whose variables and flags win. This module knows no settings;
it names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

MIB = 1 << 20
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as KServe's servers listen, inside of a pod
LEAST_MESSAGE_BYTES = 8 * MIB  # KServe's MAX_GRPC_MESSAGE_LENGTH
MOST_MESSAGE_BYTES = 2047 * MIB  # gRPC counts in 32 bits; what its -1, "no limit", comes to
MOST_PORT = 65535
NEAR = 0.7  # of difflib's ratio
TRUE = ("y", "yes", "t", "true", "on", "1")
FALSE = ("n", "no", "f", "false", "off", "0")
PROTOCOLS = ("auto", "v1", "v2", "grpc-v2")
HELP = ("-h", "--help")

# By name of the setting. Plaintext, because in a mesh the sidecar encrypts; a certificate still makes it TLS.
DEFAULTS: Mapping[str, Any] = {
    "listen": f"{EVERYWHERE}:8081",
    "http_listen": f"{EVERYWHERE}:8080",
    "insecure": True,
}

Read: TypeAlias = Callable[[str], Any]


class WrongFlag(ValueError):
    """A flag of KServe's with a value that it cannot have."""


@dataclass(frozen=True, slots=True)
class Flag:
    """read: of its value; raises ValueError saying what it must be. None: it has no value.

    setting: that it stands for; "": none, for the reason that `why` gives.
    """

    read: Read | None
    setting: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a flag that changes nothing. unknown: nobody has it."""

    flag: str
    why: str
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Spoken:
    """A command line, understood. argv: flags of ours, in order. under: settings by name that those, and
    variables, are laid over. notes: for the log, once. kserve: it was KServe's.
    """

    argv: Sequence[str]
    under: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    kserve: bool = False


def text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"must be a whole number, got {value!r}") from None


def counted(value: str) -> int:
    if whole(value) < 0:
        raise ValueError(f"must not be negative, got {value!r}")
    return whole(value)


def everywhere(value: str) -> str:
    """The address of a port."""
    if not 0 <= whole(value) <= MOST_PORT:
        raise ValueError(f"must be a port, 0 to {MOST_PORT}, got {value!r}")
    return f"{EVERYWHERE}:{whole(value)}"


def seconds(value: str) -> float:
    if whole(value) <= 0:
        raise ValueError(f"must be more than 0 seconds, got {value!r}")
    return float(whole(value))


def truth(value: str) -> bool:
    if value.lower() not in TRUE + FALSE:
        raise ValueError(f"must be true or false, got {value!r}")
    return value.lower() in TRUE


def message(value: str) -> int:
    """MiB that hold so many bytes; our limit is one for both directions."""
    length = whole(value)
    if length < -1:
        raise ValueError(f"must be a number of bytes, or -1, got {value!r}")
    length = MOST_MESSAGE_BYTES if length == -1 else min(max(length, LEAST_MESSAGE_BYTES), MOST_MESSAGE_BYTES)
    return -(-length // MIB)


def protocol(value: str) -> str:
    if value not in PROTOCOLS:
        raise ValueError(f"must be {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}, got {value!r}")
    return value


# In this order: of two flags for one setting, the later one here counts.
FLAGS: Mapping[str, Flag] = {
    "--model_name": Flag(text, "model_name"),
    "--predictor_host": Flag(text, "predictor_host"),
    "--protocol": Flag(protocol, "predictor_protocol"),
    "--predictor_protocol": Flag(protocol, "predictor_protocol"),
    "--predictor_use_ssl": Flag(truth, "predictor_use_ssl"),
    "--predictor_request_timeout_seconds": Flag(seconds, "predictor_timeout_s"),
    "--http_port": Flag(everywhere, "http_listen"),
    "--grpc_port": Flag(everywhere, "listen"),
    "--grpc_max_send_message_length": Flag(message, "message_mib"),
    "--grpc_max_receive_message_length": Flag(message, "message_mib"),
    "--ssl_certfile": Flag(lambda value: Path(text(value)), "tls_cert"),
    "--ssl_keyfile": Flag(lambda value: Path(text(value)), "tls_key"),
    "--workers": Flag(counted, why="one process serves all calls, with all cores it may use; replicas add more"),
    "--predictor_request_retries": Flag(
        counted, why="calls that may be repeated without harm are, for as long as the caller's deadline leaves time"
    ),
    "--enable_predictor_health_check": Flag(None, why="readiness always depends on whether the predictor answers"),
    "--enable_grpc": Flag(truth, why="gRPC is always served, on its own port"),
    "--enable_docs_url": Flag(truth, why="/docs is always there"),
    "--max_threads": Flag(counted, why="gRPC's calls run on an event loop; --max-explanations bounds them"),
    "--max_asyncio_workers": Flag(counted, why="--cores says how many threads there are"),
    "--enable_latency_logging": Flag(truth, why="every call is logged, with the time it took"),
    "--configure_logging": Flag(truth, why="--log-format and --log-level say how is logged"),
    "--log_config_file": Flag(str, why="--log-format and --log-level say how is logged"),
    "--access_log_format": Flag(str, why="--log-format and --log-level say how is logged"),
    "--event-loop": Flag(str, why="there is one event loop, asyncio's"),
    "--timeout-keep-alive": Flag(counted, why="connections are kept for 75 s, longer than proxies in front keep them"),
}
SIGNS = frozenset(name for name in FLAGS if "_" in name)


def understood(argv: Sequence[str], ours: Mapping[str, bool]) -> Spoken:
    """ours: our flags; True for one that has a value. Raises WrongFlag, naming KServe's flag."""
    if not SIGNS.intersection(word.partition("=")[0] for word in argv):
        return Spoken(argv)
    kept: list[str] = []
    given: dict[str, str | None] = {}
    notes: list[Note] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        name, joined, value = word.partition("=")
        if name in ours or name in HELP:
            kept += [word, words.pop(0)] if words and ours.get(name) and not joined else [word]
        elif name in FLAGS:
            given[name] = _value(name, value if joined else None, words)
        else:
            # Values may be secrets; names are none.
            if name.startswith("-") and words and not joined and not words[0].startswith("-"):
                words.pop(0)
            notes.append(
                Note(name if name.startswith("-") else "a word without a flag", _near(name, ours), unknown=True)
            )
    under, idle = _settings(given)
    return Spoken(kept, {**DEFAULTS, **under}, [*idle, *notes], kserve=True)


def _value(name: str, joined: str | None, words: list[str]) -> str | None:
    """What stands behind a flag of KServe's; taken from the words that follow, if it is not joined to it."""
    if FLAGS[name].read is None:
        return None
    if joined is not None:
        return joined
    if not words or words[0].startswith("--"):
        raise WrongFlag(f"{name}: needs a value")
    return words.pop(0)


def _settings(given: Mapping[str, str | None]) -> tuple[dict[str, Any], list[Note]]:
    """Settings by name, and notes on what stands for none. Raises WrongFlag."""
    found: dict[str, Any] = {}
    notes = []
    for name, flag in FLAGS.items():
        if name not in given:
            continue
        value = given[name]
        try:
            read = None if flag.read is None or value is None else flag.read(value)
        except ValueError as error:
            raise WrongFlag(f"{name}: {error}") from None
        if not flag.setting:
            notes.append(Note(name, flag.why))
        elif flag.setting == "message_mib":
            found["message_mib"] = max(read, found.get("message_mib", 0))
        else:
            found[flag.setting] = read
    return found, notes


def _near(name: str, ours: Mapping[str, bool]) -> str:
    """What may have been meant: of ours first, then of KServe's."""
    for known, meant in ((ours, name.replace("_", "-")), (FLAGS, name)):
        plain = {flag.removeprefix("--"): flag for flag in known}
        near = get_close_matches(meant.removeprefix("--"), plain, n=1, cutoff=NEAR)
        if near:
            return f"did you mean {plain[near[0]]}?"
    return "neither KServe's servers nor whybox have it"
