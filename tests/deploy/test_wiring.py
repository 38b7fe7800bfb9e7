"""What manifests say of each other, and of whybox: names, ports, settings, times."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.deploy.container import started
from tests.deploy.manifests import (
    DEPLOY,
    KUBECTL,
    KUSTOMIZE,
    OVERLAYS,
    ROOT,
    Object,
    containers,
    documents,
    objects,
    pods,
    rendered,
    settings_of,
    whybox_of,
)

from whybox_server.api import server as grpc_server
from whybox_server.serving.remote import declared
from whybox_server.settings import Settings, split_address

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
# Over HTTP. Only readiness may depend on the predictor: a pod is not killed for what is wrong elsewhere.
PATHS = {"startup": "/v2/health/live", "readiness": "/v2/health/ready", "liveness": "/v2/health/live"}
LEAST_RESERVE_S = 15  # after the drain: the cache's last writes, the end of the process
MADE_BY_OPERATOR = {"whybox-cache", "whybox-tls", "whybox-models"}  # told in deploy/README.md

# Objects that are applied together.
GROUPS = {name: rendered(name) for name in OVERLAYS if KUBECTL} | {
    "base": tuple(
        one
        for path in (KUSTOMIZE / "base").glob("*.yaml")
        for one in documents(path)
        if one["kind"] != "Kustomization"
    )
}
GROUPS |= {f"kserve/{path.stem}": documents(path) for path in sorted((DEPLOY / "kserve").glob("*.yaml"))}
SERVERS = [
    (f"{where}: {name}", template)
    for where, one in objects()
    for name, template in pods(one)
    if whybox_of(template)
]
each_server = pytest.mark.parametrize(
    "template", [one for _, one in SERVERS], ids=[name for name, _ in SERVERS]
)
each_group = pytest.mark.parametrize("group", GROUPS)


def templates(group: str) -> list[Object]:
    return [template for one in GROUPS[group] for _, template in pods(one)]


def selected(group: str, labels: dict[str, str]) -> list[Object]:
    return [one for one in templates(group) if labels.items() <= one["metadata"].get("labels", {}).items()]


def ports_of(template: Object) -> set[Any]:
    """Names and numbers."""
    return {port[key] for one in containers(template) for port in one.get("ports", []) for key in port}


@each_group
def test_selectors_and_ports_find_pods(group: str) -> None:
    """A selector that finds nobody fails in silence; KServe's pods are not among the manifests."""
    for one in GROUPS[group]:
        spec = one.get("spec", {})
        if one["kind"] == "Service" and "serving.kserve.io/inferenceservice" not in spec["selector"]:
            found = selected(group, spec["selector"])
            assert found, one["metadata"]["name"]
            assert all(port["targetPort"] in ports_of(pod) for port in spec["ports"] for pod in found)
        elif one["kind"] == "PodDisruptionBudget":
            assert selected(group, spec["selector"]["matchLabels"])
        elif one["kind"] == "NetworkPolicy" and spec["podSelector"]:
            found = selected(group, spec["podSelector"]["matchLabels"])
            assert found
            inward = [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]]
            assert all(port in ports_of(pod) for port in inward for pod in found)
        elif one["kind"] == "HorizontalPodAutoscaler":
            names = {(two["kind"], two["metadata"]["name"]) for two in GROUPS[group]}
            assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) in names
        elif one["kind"] == "Deployment":
            labels = spec["template"]["metadata"]["labels"]
            assert spec["selector"]["matchLabels"].items() <= labels.items()
            for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
                assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


@each_group
def test_what_a_pod_refers_to_is_there_or_is_the_operators_to_make(group: str) -> None:
    """Config maps, secrets, claims and accounts, by name; and the README tells how to make the operator's."""
    there = {one["metadata"]["name"] for one in GROUPS[group]}
    told = (DEPLOY / "README.md").read_text()
    for template in templates(group):
        spec = template["spec"]
        wanted = {spec["serviceAccountName"]} if "serviceAccountName" in spec else set()
        for volume in spec["volumes"]:
            wanted |= {volume["configMap"]["name"]} if "configMap" in volume else set()
            wanted |= {volume["secret"]["secretName"]} if "secret" in volume else set()
            wanted |= (
                {volume["persistentVolumeClaim"]["claimName"]} if "persistentVolumeClaim" in volume else set()
            )
        for one in containers(template):
            sources = [entry.get("valueFrom", {}) for entry in one.get("env", [])]
            wanted |= {source["secretKeyRef"]["name"] for source in sources if "secretKeyRef" in source}
        assert wanted - there <= MADE_BY_OPERATOR
        assert all(name in told for name in wanted - there)


@each_group
def test_everything_but_dns_and_what_is_named_is_denied(group: str) -> None:
    """Every namespace of ours denies both directions; egress opened is to DNS and to pods named by label."""
    policies = [one for one in GROUPS[group] if one["kind"] == "NetworkPolicy"]
    if not any(one["kind"] == "Namespace" for one in GROUPS[group]):
        pytest.skip("applied to a namespace of the operator's")
    assert any(
        one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for one in policies
    ), "no default-deny"
    for one in policies:
        for rule in one["spec"].get("egress", []):
            assert rule["to"]
            assert rule["ports"]
            assert all(target.get("podSelector", {}).get("matchLabels") for target in rule["to"])
        assert all(rule["from"] and rule["ports"] for rule in one["spec"].get("ingress", []))


@each_server
def test_settings_exist_and_the_server_accepts_them_together(template: Object, tmp_path: Path) -> None:
    """Settings is the oracle: a name it does not know is ignored by it, and would be a wish only."""
    container = whybox_of(template)
    assert container is not None
    names = {one["name"] for one in container["env"] if one["name"].startswith("WHYBOX_")}
    assert {name.removeprefix("WHYBOX_").lower() for name in names} <= set(Settings.model_fields)
    assert started(container, tmp_path)


@each_server
def test_a_pod_lives_longer_than_its_longest_call(template: Object) -> None:
    """preStop, then the drain, which is no shorter than the longest deadline, and something in reserve."""
    container = whybox_of(template)
    assert container is not None
    given = {name: float(value) for name, value in settings_of(container).items() if name.endswith("_S")}
    drain = given["WHYBOX_DRAIN_S"]
    asleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert given["WHYBOX_DEFAULT_DEADLINE_S"] <= given["WHYBOX_MAX_DEADLINE_S"] <= drain
    assert asleep >= 5
    assert template["spec"]["terminationGracePeriodSeconds"] >= asleep + drain + LEAST_RESERVE_S
    others = [one for one in template["spec"]["containers"] if one is not container]
    assert all(one["lifecycle"]["preStop"]["sleep"]["seconds"] >= asleep + drain for one in others)


async def health_services() -> set[str]:
    """Every name under which the server says that it serves."""

    class Recorder:
        def __init__(self) -> None:
            self.names: set[str] = set()

        async def set(self, name: str, status: int) -> None:
            self.names.add(name)

    recorder = Recorder()
    await grpc_server.say_serving(recorder)  # type: ignore[arg-type]  # all that it calls
    return recorder.names


@each_server
async def test_probes_ask_the_port_that_listens_for_a_service_it_knows(template: Object, tmp_path: Path) -> None:
    """By Kubernetes' own gRPC probe, in plaintext: beside TLS on the port for health. KServe's ask over HTTP."""
    container = whybox_of(template)
    assert container is not None
    settings = started(container, tmp_path)
    known = await health_services()
    ports = {one["containerPort"] for one in container["ports"]}
    _, main = split_address(settings.listen, "listen")
    assert main in ports
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe, service = container[kind], kind.removesuffix("Probe")
        assert service in known
        if container["name"] == "kserve-container":
            assert settings.http_listen is not None
            _, port = split_address(settings.http_listen, "http_listen")
            assert probe["httpGet"] == {"path": PATHS[service], "port": port}
        else:
            asked = settings.listen if settings.tls_cert is None else settings.health_listen
            assert asked is not None
            _, port = split_address(asked, "listen")
            assert probe["grpc"] == {"port": port, "service": service}
        assert port in ports
        assert settings.tls_cert is None or port != main
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, "not killed for being busy"


@each_server
def test_a_variable_is_defined_before_it_is_used(template: Object) -> None:
    """Kubernetes puts in $(NAME) only what stands above it, and leaves the rest as it is."""
    for one in containers(template):
        seen: set[str] = set()
        for variable in one.get("env", []):
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= seen
            seen.add(variable["name"])


def test_images_have_the_version_of_the_package() -> None:
    files = [
        *KUSTOMIZE.rglob("*.yaml"),
        *(DEPLOY / "kserve").glob("*.yaml"),
        DEPLOY / "docker" / "Dockerfile",
    ]
    found = {
        tag
        for file in files
        for tag in re.findall(r"(?:whybox:|newTag: |VERSION=)(\d[\w.]*)", file.read_text())
    }
    assert found == {VERSION}


@pytest.mark.parametrize("overlay", ["sidecar-triton", "sidecar-kserve"])
def test_sidecars_declare_endpoints_of_their_neighbour(overlay: str) -> None:
    """whybox's own reader is the oracle; every URL leads to a port of a container in the same pod."""
    folder = KUSTOMIZE / "overlays" / overlay
    endpoints = declared.read(folder / "endpoints.yaml").endpoints
    assert endpoints
    found = [one for path in folder.glob("*.yaml") for one in documents(path) if "metadata" in one]
    listening = {port for one in found for _, template in pods(one) for port in ports_of(template)}
    for endpoint in endpoints.values():
        place = urlsplit(endpoint.url)
        assert place.hostname == "127.0.0.1"
        assert place.port in listening
