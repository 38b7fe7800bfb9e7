"""The files of deploy/ as data: what lies there, what kubectl makes of it, and the pods in it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUSTOMIZE = DEPLOY / "kustomize"
OVERLAYS = ("gpu", "sidecar-kserve", "sidecar-triton", "standalone", "tls")
KUBECTL = shutil.which("kubectl")
Object = dict[str, Any]

KSERVE_PARTS = ("predictor", "explainer")  # an InferenceService has a pod's fields among these


@cache
def documents(path: Path) -> tuple[Object, ...]:
    return tuple(found for found in yaml.safe_load_all(path.read_text()) if found is not None)


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """What would be applied, as kubectl's own kustomize makes it."""
    assert KUBECTL is not None
    command = [KUBECTL, "kustomize", str(KUSTOMIZE / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def kustomizations() -> list[Path]:
    return sorted(KUSTOMIZE.rglob("kustomization.yaml"))


def plain_files() -> list[Path]:
    """Manifests that are whole by themselves: no kustomizations, patches, or files of whybox."""
    patches = {
        (path.parent / patch["path"]).resolve()
        for path in kustomizations()
        for patch in documents(path)[0].get("patches", [])
    }
    found = [*KUSTOMIZE.rglob("*.yaml"), *(DEPLOY / "kserve").glob("*.yaml")]
    other = ("kustomization.yaml", "endpoints.yaml")
    return sorted(path for path in found if path.name not in other and path.resolve() not in patches)


def objects() -> Iterator[tuple[str, Object]]:
    """(where it is from, object): every plain manifest, and every overlay where there is a kubectl."""
    for path in plain_files():
        for found in documents(path):
            yield str(path.relative_to(DEPLOY)), found
    for overlay in OVERLAYS if KUBECTL else ():
        for found in rendered(overlay):
            yield overlay, found


def pods(found: Object) -> Iterator[tuple[str, Object]]:
    """(name, pod template) of what runs containers: {"metadata", "spec"}.

    Left out is KServe's `model`, for which KServe makes the container.
    """
    name = f"{found['kind']} {found['metadata']['name']}"
    if found["kind"] == "Deployment":
        yield name, found["spec"]["template"]
    if found["kind"] == "InferenceService":
        for part in KSERVE_PARTS:
            spec = found["spec"].get(part, {})
            if "containers" in spec:
                yield f"{name}, {part}", {"metadata": {}, "spec": pod_fields(spec)}


def pod_fields(component: Object) -> Object:
    """A component of an InferenceService without what is KServe's own."""
    scaling = ("minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "containerConcurrency")
    own = (*scaling, "timeout", "annotations", "labels")
    return {key: value for key, value in component.items() if key not in own}


def appended(model: str, predictor: str = "") -> list[str]:
    """What KServe's controller adds to the arguments of an explainer, in its order."""
    host = predictor or f"{model}-predictor.my-models"
    return ["--model_name", model, "--predictor_host", host, "--http_port", "8080", "--workers", "1"]


def containers(template: Object) -> list[Object]:
    """All of a pod's, sidecars included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def whybox_of(template: Object) -> Object | None:
    """The container that runs whybox, if the pod has one."""
    found = [one for one in containers(template) if one["image"].split(":")[0] == "whybox"]
    assert len(found) <= 1
    return found[0] if found else None


def settings_of(container: Object) -> dict[str, str]:
    """WHYBOX_* with values that stand in the manifest."""
    return {
        one["name"]: one["value"]
        for one in container.get("env", [])
        if one["name"].startswith("WHYBOX_") and "value" in one
    }
