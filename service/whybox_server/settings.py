"""What an operator may set: flags of `whybox serve`, each also an environment variable `WHYBOX_*`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from whybox_server.serving.onnx.described import DescriptionError
from whybox_server.serving.remote.declared import read
from whybox_server.serving.remote.transport.egress import egress_of

MIB = 1 << 20
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]", "::1")


class Settings(BaseSettings):
    """Explains models over gRPC, and as JSON over HTTP."""

    model_config = SettingsConfigDict(
        env_prefix="WHYBOX_",
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_prog_name="whybox serve",
        nested_model_default_partial_update=False,
    )

    models: Path | None = Field(None, description="folder of models, <name>/<version>/model.onnx")
    listen: str = Field("127.0.0.1:50051", description="HOST:PORT for gRPC; port 0 takes a free one")
    http_listen: str | None = Field(
        None, description="HOST:PORT for JSON over HTTP, with the TLS of --listen; unset: none"
    )
    insecure: bool = Field(False, description="allow plaintext on addresses other than loopback")
    tls_cert: Path | None = Field(None, description="certificate chain (PEM); read again when it changes")
    tls_key: Path | None = Field(None, description="private key (PEM)")
    tls_client_ca: Path | None = Field(None, description="require client certificates signed by this CA (PEM)")
    metrics_listen: str | None = Field(None, description="HOST:PORT for Prometheus metrics; unset: none")
    redis: str | None = Field(None, description="redis:// or rediss:// URL of the shared prediction cache")
    cache_secret: str = Field("", description="keys the shared cache: replicas with one secret share predictions")
    cache_mib: Annotated[int, Field(ge=0)] = Field(256, description="in-process prediction cache")
    answers: Path | None = Field(
        None, description="file that keeps every answer of a model, so that no row is ever asked twice"
    )
    most_rows: Annotated[int, Field(ge=0)] = Field(
        0, description="rows that may be asked of models in the whole life of --answers; 0: no limit"
    )
    provider: Literal["auto", "cpu", "cuda"] = Field("auto", description="where models run")
    cores: Annotated[int, Field(ge=0)] = Field(0, description="cores for models; 0: all this process may use")
    max_explanations: Annotated[int, Field(ge=1)] = Field(64, description="calls running at once; more are refused")
    max_backlog_s: Annotated[float, Field(gt=0)] = Field(600.0, description="refuse calls when this much work waits")
    max_deadline_s: Annotated[float, Field(gt=0)] = Field(900.0, description="longest time one call may take")
    default_deadline_s: Annotated[float, Field(gt=0)] = Field(300.0, description="for callers that set no deadline")
    message_mib: Annotated[int, Field(ge=1)] = Field(16, description="largest gRPC message, both directions")
    model_mib: Annotated[int, Field(ge=1)] = Field(512, description="largest model that callers may send")
    sessions_mib: Annotated[int, Field(ge=1)] = Field(4096, description="models kept loaded, by file size")
    trust_uploads: bool = Field(
        False, description="load models that callers send without vetting them in a limited child process"
    )
    endpoints: Path | None = Field(None, description="endpoints.yaml: models behind endpoints, and credentials")
    endpoint_state: Path | None = Field(
        None, description="folder that counts the calls of a day; unset: a restart forgets them"
    )
    allow_egress: str = Field(
        "",
        description="where endpoints of callers may lead besides public addresses: hosts, *.hosts, addresses "
        "and networks, each with :PORT if only that one is meant, separated by commas",
    )
    inline_endpoints: bool = Field(False, description="explain endpoints that callers describe in their requests")
    disable_lrp: bool = Field(
        False, description="leave LRP and deep Taylor out; a patent on them exists (EP 3271863 B1)"
    )
    drain_s: Annotated[float, Field(ge=0)] = Field(30.0, description="time for running calls after SIGTERM")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else JSON")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line to log")

    @field_validator("allow_egress", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        """A list, as `whybox.local` takes one, is as good as commas."""
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    def _declared(self) -> None:
        """Raises ValueError for an endpoints.yaml that cannot be used: better now than at the first request."""
        try:
            read(Path(str(self.endpoints)))
        except DescriptionError as error:
            raise ValueError(f"endpoints: {error}") from None

    @model_validator(mode="after")
    def _kept(self) -> Settings:
        if self.answers is not None and (self.redis is not None or not self.answers.parent.is_dir()):
            raise ValueError(f"answers: {self.answers} must be in a folder that exists, and stands in place of redis")
        if self.most_rows and self.answers is None:
            raise ValueError("most_rows: rows are counted in a file; name one with answers")
        return self

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both or neither")
        for name in ("tls_cert", "tls_key", "tls_client_ca"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: {path} is not a file")
        for name, address in (("listen", self.listen), ("http_listen", self.http_listen)):
            host = "localhost" if address is None else split_address(address, name)[0]
            if host not in LOOPBACK_HOSTS and not (self.tls_cert or self.insecure):
                raise ValueError(
                    f"{name}: {host} is reachable from other machines; give --tls-cert and --tls-key, "
                    "or --insecure if something in front of whybox encrypts"
                )
        if self.metrics_listen is not None:
            split_address(self.metrics_listen, "metrics_listen")
        if self.models is not None and not self.models.is_dir():
            raise ValueError(f"models: {self.models} is not a folder")
        if self.endpoints is not None:
            self._declared()
        if self.endpoint_state is not None and not self.endpoint_state.is_dir():
            raise ValueError(f"endpoint_state: {self.endpoint_state} is not a folder")
        try:
            egress_of(self.allow_egress.split(","))
        except ValueError as error:
            raise ValueError(f"allow_egress: {error}") from None
        return self


# `model_` is a prefix pydantic keeps for itself; the settings' own names are meant.
Settings.model_config["protected_namespaces"] = ()


def split_address(address: str, field: str) -> tuple[str, int]:
    """HOST and PORT of "HOST:PORT"; raises ValueError naming the field."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{field}: must be HOST:PORT, got {address!r}")
    return host, int(port)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def from_command_line(argv: Sequence[str]) -> Settings:
    """Flags over environment over defaults. `--help` prints and exits; bad values raise ValueError."""
    return Settings(_cli_parse_args=list(argv))  # type: ignore[call-arg]  # pydantic-settings' own keyword
