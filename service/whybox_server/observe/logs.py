"""Structured logs on stderr: one line per call and per model, with request ids and no input values."""

from __future__ import annotations

import logging
import sys
from typing import assert_never

import structlog

from whybox_server.engine.events import Event, Failed, Finished, ModelLoaded, Started


def configure(log_format: str, level: str) -> None:
    """Set up structlog for this process; `auto` is a console on a terminal and JSON elsewhere."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def tell(event: Event) -> None:
    """Subscriber for `engine.events`."""
    log = structlog.get_logger("whybox.engine")
    match event:
        case Started(request_id, method, model, modality, rows):
            log.debug("started", request_id=request_id, method=method, model=model, modality=modality, rows=rows)
        case Finished(usage=usage) as done:
            log.info(
                "explained",
                request_id=done.request_id,
                method=done.method,
                model=done.model,
                outcome=done.reason or ("OK" if done.complete else "PARTIAL"),
                rows_asked=usage.rows_asked,
                rows_unique=usage.rows_unique,
                rows_cached=usage.rows_cached,
                rows_sent=usage.rows_sent,
                batches=usage.batches,
                wall_ms=round(usage.wall_s * 1e3, 1),
            )
        case ModelLoaded(digest, provider, seconds, notes):
            log.info("model loaded", digest=digest, provider=provider, seconds=round(seconds, 3), notes=list(notes))
        case Failed():
            return  # the call's own line says it
        case _:
            assert_never(event)
