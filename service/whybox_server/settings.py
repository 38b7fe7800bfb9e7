"""What an operator may set: flags of `whybox serve`, each also an environment variable `WHYBOX_*`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from whybox_server.core.errors import InvalidRequest
from whybox_server.kserve.behind import NAME, entry
from whybox_server.methods import METHODS
from whybox_server.serving.onnx.described import DescriptionError
from whybox_server.serving.remote.declared import read
from whybox_server.serving.remote.transport.egress import egress_of
from whybox_server.serving.remote.transport.place import place_of

MIB = 1 << 20
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]", "::1")


class Settings(BaseSettings):
    """Explains models over gRPC and HTTP. Flags are variables WHYBOX_*, too; KServe's (--model_name) are understood."""

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
    model_name: str | None = Field(
        None,
        description="name by which KServe's callers ask for the model behind --predictor-host: letters, digits, "
        "- and _, because its gateway routes no others",
    )
    predictor_host: str | None = Field(
        None,
        description="the KServe predictor that --model-name is about, as HOST[:PORT] or a URL; unset: a model of "
        "--models or --endpoints is explained",
    )
    predictor_protocol: Literal["auto", "v1", "v2", "grpc-v2"] = Field(
        "auto", description="how the predictor speaks; auto: asked when it is first needed"
    )
    predictor_use_ssl: bool = Field(
        False, description="ask the predictor over TLS; REQUESTS_CA_BUNDLE names who vouches"
    )
    predictor_timeout_s: Annotated[float, Field(gt=0)] = Field(600.0, description="longest wait for one answer of it")
    explain_method: str | None = Field(
        None, description="method of KServe's calls that name none, here and in their parameters; unset: lime"
    )
    explain_parameters: Annotated[dict[str, Any], NoDecode] = Field(
        {}, description='JSON object laid under the parameters of KServe\'s calls, as {"num_samples": 500, "seed": 1}'
    )
    health_listen: str | None = Field(
        None,
        description="HOST:PORT that answers gRPC's health checks in plaintext and nothing else, for probes that "
        "speak no TLS; unset: none",
    )
    drain_s: Annotated[float, Field(ge=0)] = Field(30.0, description="time for running calls after SIGTERM")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else JSON")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line to log")

    @field_validator("allow_egress", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        """A list, as `whybox.local` takes one, is as good as commas."""
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("explain_parameters", mode="before")
    @classmethod
    def _object(cls, value: object) -> object:
        """JSON, as flags and variables have it."""
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise ValueError('must be a JSON object, as {"num_samples": 500}')  # noqa: TRY004 - pydantic's
        return found

    @model_validator(mode="after")
    def _explaining(self) -> Settings:
        """What a call of KServe's may leave to the operator, as far as that can be known without a model."""
        names = [method.name for method in METHODS]
        if self.explain_method is not None and self.explain_method not in names:
            near = get_close_matches(self.explain_method, names, n=3, cutoff=0)
            raise ValueError(f"explain_method: no method {self.explain_method!r}; did you mean {' or '.join(near)}?")
        return self

    @model_validator(mode="after")
    def _behind(self) -> Settings:
        """The predictor can be named and reached, as far as that can be known without asking it."""
        if self.model_name is not None and not NAME.fullmatch(self.model_name):
            raise ValueError(
                f"model_name: {self.model_name!r} must be letters, digits, - and _; KServe's gateway routes no others"
            )
        if self.predictor_host is None:
            return self
        if self.model_name is None:
            raise ValueError("predictor_host: give --model-name too, the name of the model that this predictor serves")
        with_scheme = "://" in self.predictor_host
        try:
            place = place_of(self.predictor_host if with_scheme else f"http://{self.predictor_host}")
        except InvalidRequest as error:
            said = error.violations[0].description
            raise ValueError(f"predictor_host: {said}; HOST and HOST:PORT alone are fine, too") from None
        if with_scheme and self.predictor_use_ssl and not place.tls:
            raise ValueError("predictor_use_ssl: predictor_host is a URL without TLS; write https:// or grpcs://")
        self.behind()
        return self

    def behind(self) -> dict[str, dict[str, Any]]:
        """The predictor as an entry of endpoints.yaml, by its model's name; empty if there is none.

        Raises ValueError for a CA bundle that is no file.
        """
        if self.model_name is None or self.predictor_host is None:
            return {}
        return {
            self.model_name: entry(
                self.model_name,
                self.predictor_host,
                self.predictor_protocol,
                tls=self.predictor_use_ssl,
                timeout_s=self.predictor_timeout_s,
            )
        }

    def _declared(self) -> None:
        """Raises ValueError for an endpoints.yaml that cannot be used: better now than at the first request."""
        try:
            read(Path(str(self.endpoints)), self.behind())
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
        for name in ("metrics_listen", "health_listen"):
            if getattr(self, name) is not None:
                split_address(getattr(self, name), name)
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


def flags() -> dict[str, bool]:
    """All flags of `whybox serve`; True for one that has a value."""
    found = {}
    for name, field in Settings.model_fields.items():
        flag = name.replace("_", "-")
        found[f"--{flag}"] = field.annotation is not bool
        if field.annotation is bool:
            found[f"--no-{flag}"] = False
    return found


def from_command_line(argv: Sequence[str], under: Mapping[str, Any] | None = None) -> Settings:
    """Flags over environment over defaults. `--help` prints and exits; bad values raise ValueError.

    under: what stands between environment and defaults, by name of the setting.
    """

    class Laid(Settings):
        __doc__ = Settings.__doc__

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, dict(under or {})))

    found = Laid(_cli_parse_args=list(argv))  # type: ignore[call-arg]  # pydantic-settings' own keyword
    return Settings.model_construct(found.model_fields_set, **dict(found))
