"""The predictor behind us as an entry of `endpoints.yaml`: what KServe's flags say of it.

A file may say more of the same endpoint (what its tensors mean, limits, a version), and then wins key by key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"[\w-]+", re.ASCII)  # of models, as KServe's gateway routes them
# KServe's own server passes these on, too.
FORWARD = ("authorization", "x-request-id", "x-b3-traceid")
# Where requests and curl look for authorities that vouch for a server.
CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROTOCOLS = {"auto": "auto", "v1": "kserve-v1", "v2": "oip-rest", "grpc-v2": "oip-grpc"}
GRPC = "grpc-v2"
PORTS = {False: 80, True: 443}  # KServe's Services listen there


def entry(
    model: str, host: str, protocol: str, *, tls: bool, timeout_s: float, environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """host: HOST[:PORT] or a URL. protocol: as KServe's flags have it, or "auto".

    Raises ValueError for a bundle of authorities that is no file.
    """
    found: dict[str, Any] = {
        "url": _url(host, protocol, tls=tls),
        "model": model,
        "protocol": PROTOCOLS[protocol],
        "forward": [*FORWARD],
        "limits": {"timeout_s": timeout_s},
    }
    said = next((name for name in CA_BUNDLES if environment.get(name)), None)
    if said is not None and found["url"].startswith(("https:", "grpcs:")):
        bundle = os.path.abspath(environment[said])  # noqa: PTH100 - the file's folder is another one
        if not os.path.isfile(bundle):  # noqa: PTH113
            raise ValueError(f"{said}: {bundle} is not a file")
        found["tls"] = {"ca": bundle}
    return found


def _url(host: str, protocol: str, *, tls: bool) -> str:
    if "://" in host:
        return host
    if protocol != GRPC:
        return f"{'https' if tls else 'http'}://{host}"
    port = "" if host.rpartition("]")[2].count(":") == 1 else f":{PORTS[tls]}"
    return f"{'grpcs' if tls else 'grpc'}://{host}{port}"
