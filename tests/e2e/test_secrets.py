"""A secret reaches the model server it is for, and nothing else: whatever goes well or wrong, it is looked for
in every log line, error, metric, cached answer, echo, file and report that there is.
"""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import redis
from tests.e2e.serving import Server, running
from tests.redis import free_port, redis_server
from tests.remote.malicious import BEHAVIOURS, malicious
from tests.remote.malicious import Server as Peer
from tests.remote.tfserving import over_grpc

import whybox
from whybox.audit import Order, Table, audit

FROM_FILE = "f7c1Kz-q/Vb0+pLw3=9Qx2"
FROM_ENVIRONMENT = "e5b8Wm-Jd62sGh1-kXr0-4Ty7"
OF_THE_CALLER = "c3d9Rv-Zt85nMy4-uPq7-6Hn1"
SECRETS = (FROM_FILE, FROM_ENVIRONMENT, OF_THE_CALLER)
PIECE = 12  # characters: so long a piece of a secret is one
ROW = np.array([0.3, -0.2, 0.5], np.float32)
SPEC = {
    "tabular": {"feature_names": ["age", "income", "debt"]},
    "labels": ["no", "yes"],
    "score": "probability",
}
INPUTS = [{"name": "x", "shape": [3]}]
GOOD = ("honest", "zipped", "cookie")


@dataclass
class Heard:
    """Everything that left the server but to whom a secret is for, by where that was."""

    texts: dict[str, str | bytes] = field(default_factory=dict)

    def holds(self, secret: str) -> list[str]:
        """Where a secret, or a long piece of it, is to be read: plain, in a URL, in base64, in hexadecimals."""
        raw = secret.encode()
        basic = [base64.b64encode(raw + pad).rstrip(b"=")[:-2] for pad in (b"", b"x", b"xx")]
        forms = [quote(secret, safe="").encode(), *basic, raw.hex().encode()]
        forms += [raw[at : at + PIECE] for at in range(len(raw) - PIECE + 1)]
        return [
            where
            for where, text in self.texts.items()
            if any(form in (text.encode() if isinstance(text, str) else text) for form in forms)
        ]


def declaration(peer: Peer, grpc_url: str) -> dict[str, object]:
    """Every behaviour with each credential, a server that speaks gRPC, and one that is not there."""

    def by_json(behaviour: str, credential: str, **limits: float) -> dict[str, object]:
        return {
            "url": peer.url(behaviour),
            "protocol": "json",
            "inputs": INPUTS,
            "spec": SPEC,
            "credential": credential,
            "forward": ["x-user-token"],
            "json": {"request": {"instances": "$rows"}},
            "limits": {"timeout_s": 0.3, **limits},
        }

    endpoints: dict[str, object] = {
        f"{behaviour}-{credential}": by_json(behaviour, credential)
        for behaviour in BEHAVIOURS
        for credential in ("file", "environment")
    }
    grpc = {"model": "scores", "spec": SPEC, "credential": "environment", "forward": ["x-user-token"]}
    endpoints |= {
        "spent": {**by_json("honest", "file", calls_per_day=1, rows_per_call=2), "revision": "2"},
        "missing": by_json("honest", "missing"),
        "unset": by_json("honest", "unset"),
        "grpc": {**grpc, "url": grpc_url, "protocol": "tfserving-grpc"},
        "no-grpc": {**grpc, "url": f"grpc://127.0.0.1:{free_port()}", "protocol": "oip-grpc"},
    }
    credentials = {
        "file": {"file": "key.txt"},
        "environment": {"env": "MODEL_SERVER_KEY", "header": "x-api-key", "prefix": ""},
        "missing": {"file": "no-such.txt"},
        "unset": {"env": "MODEL_SERVER_KEY_THAT_IS_NOT_SET"},
    }
    return {"credentials": credentials, "endpoints": endpoints}


@contextmanager
def served(tmp_path: Path, peer: Peer, grpc_url: str, *flags: str) -> Iterator[Server]:
    (tmp_path / "key.txt").write_text(FROM_FILE + "\n")
    (tmp_path / "state").mkdir()
    file = tmp_path / "endpoints.yaml"
    file.write_text(json.dumps(declaration(peer, grpc_url)))  # JSON is YAML
    where = ("--endpoints", str(file), "--endpoint-state", str(tmp_path / "state"))
    open_to = ("--allow-egress", "127.0.0.1", "--inline-endpoints", "--log-level", "debug")
    with running(*where, *open_to, *flags, models=None) as server:
        yield server


def asked(address: str, name: str, method: str) -> tuple[str, bool]:
    """All that a caller gets to see of an explanation, or of why there is none; and whether there is one."""
    with whybox.Client(address, metadata=[("x-user-token", OF_THE_CALLER)]) as client:
        try:
            e = client.explain(f"endpoints/{name}", ROW, method, timeout=4.0)
        except whybox.ExplainError as error:
            return f"{error} {error!r} {error.details} {error.__cause__!r}", False
        return "\n".join((e.to_json(), e.to_html(), e.to_text(), repr(e.message))), True


def told(client: whybox.Client, peer: Peer) -> Mapping[str, str]:
    """Echoes, plans, probes, and what is refused."""
    calls = {
        "list": client.endpoints.list,
        "get": lambda: client.endpoints.get("endpoints/honest-file"),
        "probe": lambda: client.endpoints.probe("endpoints/honest-file"),
        "probe, in vain": lambda: client.endpoints.probe("endpoints/echo-environment"),
        "plan": lambda: client.plan("endpoints/honest-file", ROW, "lime"),
        "methods": lambda: client.methods("endpoints/honest-file"),
        "wrong shape": lambda: client.explain("endpoints/honest-file", ROW[:2], "lime"),
        "elsewhere": lambda: client.explain(
            whybox.Endpoint(peer.url("echo"), protocol="json", inputs={"x": (3,)}, credential="file"), ROW, "lime"
        ),
        "inline": lambda: client.explain(
            whybox.Endpoint(peer.url("honest"), protocol="json", inputs={"x": (3,)}, revision="1"), ROW, "occlusion"
        ),
        "not allowed": lambda: client.explain(
            whybox.Endpoint("http://10.0.0.1", protocol="json", inputs={"x": (3,)}), ROW, "lime"
        ),
        "create": lambda: client.endpoints.create(
            "mine", whybox.Endpoint(peer.url("honest"), protocol="json", inputs={"x": (3,)})
        ),
    }
    said = {}
    for name, call in calls.items():
        try:
            found = call()
            said[name] = f"{found!r} {getattr(found, 'message', '')!r}"
        except whybox.ExplainError as error:
            said[name] = f"{error} {error.details}"
    said["list"] += "".join(repr(one.message) for one in client.endpoints.list())
    return said


def stored(port: int) -> dict[str, bytes]:
    """All keys and values of a Redis."""
    with redis.Redis(port=port) as store:
        return {f"key {key.hex()}": key + b" " + (store.dump(key) or b"") for key in store.scan_iter(count=1000)}


def test_no_secret_is_ever_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty ways to behave badly, each with a secret from a file and one from the environment."""
    monkeypatch.setenv("MODEL_SERVER_KEY", FROM_ENVIRONMENT)
    heard, port = Heard(), free_port()
    shared = ("--metrics-listen", f"127.0.0.1:{port}", "--cache-secret", "a word of our own")
    with malicious() as peer, over_grpc() as grpc_url, redis_server() as store:
        flags = (*shared, "--redis", store.url)
        with served(tmp_path, peer, grpc_url, *flags) as server:
            names = list(declaration(peer, grpc_url)["endpoints"])  # type: ignore[call-overload]
            with ThreadPoolExecutor(12) as pool:
                answers = list(pool.map(lambda name: asked(server.address, name, "occlusion"), names))
            heard.texts |= {name: text for name, (text, _) in zip(names, answers, strict=True)}
            with whybox.Client(server.address, metadata=[("x-user-token", OF_THE_CALLER)]) as client:
                heard.texts |= told(client, peer)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
                metrics = heard.texts["metrics"] = page.read().decode()
        cached = stored(store.port)
        sent = [dict(request.headers) for request in peer.seen]
    heard.texts |= {"log": "".join(server.raw), **cached}
    heard.texts |= {str(file): file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file()}

    # The search is worth something only if the secrets were in play, and if all these things happened.
    assert {f"Bearer {FROM_FILE}"} <= {one.get("authorization") for one in sent}
    assert {FROM_ENVIRONMENT} <= {one.get("x-api-key") for one in sent}
    assert {OF_THE_CALLER} <= {one.get("x-user-token") for one in sent}
    went_well = {name for name, (_, fine) in zip(names, answers, strict=True) if fine}
    assert went_well >= {f"{name}-{kind}" for name in GOOD for kind in ("file", "environment")} | {"grpc"}
    assert len(names) - len(went_well) > len(BEHAVIOURS)
    assert cached
    assert 'whybox_endpoint_calls_total{endpoint="endpoints/honest-file"}' in metrics
    assert 'whybox_endpoint_calls_total{endpoint="inline"}' in metrics
    assert 'whybox_endpoint_calls_left_today{endpoint="endpoints/spent"} 0.0' in metrics

    assert {secret: heard.holds(secret) for secret in SECRETS} == dict.fromkeys(SECRETS, [])


def test_no_secret_is_in_what_an_audit_leaves_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journal, kept answers and reports of one that goes well, and of one that fails on every row."""
    monkeypatch.setenv("MODEL_SERVER_KEY", FROM_ENVIRONMENT)
    (tmp_path / "key.txt").write_text(FROM_FILE)
    file, data = tmp_path / "endpoints.yaml", tmp_path / "people.csv"
    data.write_text("age,income,debt\n" + "".join(f"{i},{i + 1},{i * 2}\n" for i in range(4)))
    heard = Heard()
    with malicious() as peer, over_grpc() as grpc_url:
        file.write_text(json.dumps(declaration(peer, grpc_url)))
        settings = {"endpoints": file, "allow_egress": ["127.0.0.0/8"]}
        for name in ("honest-file", "echo-file", "echo-reason-environment"):
            out = tmp_path / name
            try:
                audit(Order(f"endpoints/{name}", {"occlusion": {}}), Table.read(data), out, settings=settings)
            except whybox.ExplainError as error:
                heard.texts[name] = f"{error} {error.details}"
            heard.texts |= {str(one): one.read_bytes() for one in out.rglob("*") if one.is_file()}
        sent = [dict(request.headers) for request in peer.seen]
    assert {f"Bearer {FROM_FILE}"} <= {one.get("authorization") for one in sent}
    assert [where for where in heard.texts if where.endswith(".html")]
    assert {secret: heard.holds(secret) for secret in SECRETS} == dict.fromkeys(SECRETS, [])
