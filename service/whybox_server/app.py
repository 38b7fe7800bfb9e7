"""How a server is started: as a command, or inside a process.

whybox serve            -> serve_main
whybox.local()          -> EmbeddedServer
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from whybox_server.kserve.defaults import defaults_of
from whybox_server.kserve.flags import DEFAULTS, Spoken, understood
from whybox_server.observe import logs
from whybox_server.service import Service
from whybox_server.serving.onnx.session import Provider, providers
from whybox_server.settings import Settings, flags, from_command_line

log = structlog.get_logger("whybox.app")

USAGE_ERROR = 2


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
        spoken = understood(argv, flags())
        settings = from_command_line(spoken.argv, spoken.under)
        defaults_of(settings.explain_method, settings.explain_parameters)
    except ValidationError as error:
        for problem in error.errors():
            field = "-".join(map(str, problem["loc"])).replace("_", "-")
            print(f"whybox serve: {'--' + field + ': ' if field else ''}{_plain(problem['msg'])}", file=sys.stderr)
        return USAGE_ERROR
    except ValueError as error:
        print(f"whybox serve: {error}", file=sys.stderr)
        return USAGE_ERROR
    logs.configure(settings.log_format, settings.log_level)
    _tell(spoken, settings)
    # The batcher owns the cores; and sums whose order depends on the number of threads are not reproducible.
    threadpool_limits(1, user_api="blas")
    try:
        asyncio.run(_serve_until_signal(settings))
    except OSError as error:
        print(f"whybox serve: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(spoken: Spoken, settings: Settings) -> None:
    """What became of KServe's flags, once."""
    for note in spoken.notes:
        (log.warning if note.unknown else log.info)("flag ignored", flag=note.flag, why=note.why)
    for name, value in spoken.under.items():
        if getattr(settings, name) != value != DEFAULTS.get(name):
            log.info("KServe's flag gives way to ours", setting=name, kserve=str(value), ours=str(getattr(settings, name)))


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
