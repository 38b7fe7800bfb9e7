"""Where the rows of an endpoint go: runners that share its session, and the names under which answers are kept.

Callers whose own headers are passed on may get answers of their own: they share no call and no answer.
What only numbers a request keeps its calls apart and leaves the answer alone.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.probe import Probe
from whybox_server.core.query import Want
from whybox_server.core.rows_probed import SEED
from whybox_server.core.spec import GradientOutput, ScoreKind
from whybox_server.serving.lane import Lane, Mode
from whybox_server.serving.remote.endpoint import gradient_endpoint
from whybox_server.serving.remote.first import First, Remembering
from whybox_server.serving.remote.inside import NO_GRAPH, GradientRunner, Seeded, converts, explained_input
from whybox_server.serving.remote.runner import Asked, RemoteRunner
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.session import Session, pinned

FINGERPRINT_BYTES = 32
UNPINNED_TTL_S = 60.0
NUMBERING = frozenset(
    (
        *("x-request-id", "x-correlation-id", "traceparent", "tracestate", "baggage"),
        *("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"),
    )
)
HIDING = secrets.token_bytes(32)  # of this process: nobody can test for a header's value by a name

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a caller asks and how answers are read. columns: in the server's words; mirror: as in `Asked`.

    kind: of the scores. gradient: which output of the gradient's model it is.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    columns: int | None = None
    labels: tuple[str, ...] = ()
    mirror: ScoreKind | None = None
    gradient: GradientOutput | None = None
    kind: ScoreKind = ScoreKind.VALUE

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for readings that may share a runner."""
        headers = tuple(sorted(self.headers.items()))
        return (headers, self.columns, self.labels, self.mirror, self.gradient, self.kind)


def lane_of(
    session: Session, reading: Reading, shapes: Shapes, want: Want, mode: Mode, probe: Probe, outputs: int
) -> Lane:
    """The lane of rows of these shapes. outputs: scores per row as explained, for gradients.

    Rows are not padded to make calls alike: that would have to be paid, and promises nothing of a server.
    """
    if want is Want.VALUES:
        raise MethodUnsupported(f"values inside it cannot be read: {NO_GRAPH}")
    fingerprint = fingerprint_of(session, reading, shapes, want, mode, probe)
    runner: Remembering | GradientRunner
    endpoint = session.endpoint
    if want is Want.SCORES:
        runner = remembering_runner(session, reading, shapes)
    else:
        runner = gradient_runner(session, reading, shapes, probe, outputs)
        endpoint = gradient_endpoint(endpoint)
    return Lane(
        fingerprint,
        runner,
        runner.most_rows,
        answers=("scores",) if want is Want.SCORES else ("scores", "gradient"),
        remote=True,
        ttl_s=None if pinned(endpoint) else UNPINNED_TTL_S,
        apart=hidden({name: value for name, value in reading.headers.items() if name in NUMBERING}),
    )


def plain_runner(session: Session, reading: Reading, shapes: Shapes) -> RemoteRunner:
    """The runner of scores; the same one for all who ask alike."""

    def make() -> RemoteRunner:
        return RemoteRunner(_asked(session, reading, shapes), _sender(session, reading), session.room)

    return session.runner(("scores", *reading.key, *sorted(shapes.items())), make)


def remembering_runner(session: Session, reading: Reading, shapes: Shapes) -> Remembering:
    """The same, but for the row that introduced the endpoint to this caller."""

    def first() -> First | None:
        found = session.first
        return found if found is not None and found.headers == reading.headers else None

    def make() -> Remembering:
        return Remembering(plain_runner(session, reading, shapes), _asked(session, reading, shapes), first)

    return session.runner(("known", *reading.key, *sorted(shapes.items())), make)


def gradient_runner(
    session: Session, reading: Reading, shapes: Shapes, probe: Probe, outputs: int
) -> GradientRunner:
    """The runner of gradients. Raises MethodUnsupported and InvalidRequest where there are none."""
    described, declared = session.gradient, reading.gradient
    if described is None or declared is None:
        raise MethodUnsupported(f"it says no gradients: {NO_GRAPH}, or declare its gradient_model")
    of = explained_input(declared, session.described.inputs)
    log_odds = converts(reading.kind, probe.space)
    seeds = {row.name: row.dtype for row in described.inputs}

    def make() -> GradientRunner:
        scores = plain_runner(session, reading, shapes)
        endpoint = gradient_endpoint(session.endpoint, declared.output)
        plain = _asked(session, reading, shapes)
        asked = replace(
            plain,
            endpoint=endpoint,
            protocol=Seeded(session.protocol, declared.seed, reading.mirror is not None),
            described=replace(described, columns=None),
            shapes={**shapes, SEED: (outputs,)},
            dtypes={**plain.dtypes, SEED: seeds.get(declared.seed, plain.dtypes[of])},
            columns=None,
            mirror=None,
        )
        gradient = RemoteRunner(asked, _sender(session, reading), session.room)
        return GradientRunner(scores, gradient, shapes[of], asked if log_odds else None)

    return session.runner(("gradient", log_odds, outputs, *reading.key, *sorted(shapes.items())), make)


def fingerprint_of(
    session: Session, reading: Reading, shapes: Shapes, want: Want, mode: Mode, probe: Probe
) -> bytes:
    """32 bytes over everything that answers depend on. A header's value goes in as a keyed digest only."""
    said = [
        session.digest,
        hidden({name: value for name, value in reading.headers.items() if name not in NUMBERING}).hex(),
        reading.columns,
        reading.labels if session.described.labels_only else (),
        None if reading.mirror is None else reading.mirror.value,
        [[row.name, row.dtype.str, *shapes[row.name]] for row in session.described.inputs],
        want.value,
        mode.value,
        [repr(probe), repr(reading.gradient), reading.kind.value] if want is Want.GRADIENT else [],
    ]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=FINGERPRINT_BYTES).digest()


def hidden(headers: Mapping[str, str]) -> bytes:
    """Equal for equal headers, and nothing can be read from it; empty for none."""
    said = json.dumps(sorted(headers.items())).encode()
    return hashlib.blake2b(said, key=HIDING, digest_size=FINGERPRINT_BYTES).digest() if headers else b""


def _sender(session: Session, reading: Reading) -> Sender:
    sender = session.sender
    return sender.over(sender.transport.forwarding(reading.headers)) if reading.headers else sender


def _asked(session: Session, reading: Reading, shapes: Shapes) -> Asked:
    dtypes = {row.name: row.dtype for row in session.described.inputs}
    parts = (session.endpoint, session.protocol, session.described, shapes, dtypes)
    return Asked(*parts, reading.columns, reading.labels, reading.mirror)
