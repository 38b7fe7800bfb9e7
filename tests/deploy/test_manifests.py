"""Every manifest is valid in three versions of Kubernetes, strictly; KServe's by a schema of what is used."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
from tests.deploy.manifests import Object, documents, objects, pods

VERSIONS = ("1.30", "1.34", "1.37")
SCHEMAS = documents(Path(__file__).parent / "schemas.yaml")[0]


def checked() -> dict[str, Object]:
    """What Kubernetes defines, once each: overlays share most of what they apply."""
    found: dict[str, Object] = {}
    for where, one in objects():
        if one["kind"] != "InferenceService":
            found.setdefault(json.dumps(one, sort_keys=True), {"where": where, "object": one})
            continue
        for name, template in pods(one):  # as the pod that KServe makes of it
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": template["spec"]}
            found.setdefault(json.dumps(pod, sort_keys=True), {"where": f"{where}: {name}", "object": pod})
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid_in_this_version_of_kubernetes(version: str) -> None:
    """The API server's own schemas, with unknown fields refused."""
    problems = []
    for one in checked().values():
        try:
            kubernetes_validate.validate(one["object"], version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{one['where']}, {one['object']['kind']}: {error.message}")
    assert not problems


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_field_would_be_found(version: str) -> None:
    """What makes the test above mean something: `strict` reaches down to containers."""
    deployment = next(one for _, one in objects() if one["kind"] == "Deployment")
    broken = json.loads(json.dumps(deployment))
    broken["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        kubernetes_validate.validate(broken, version, strict=True)


def test_inference_services_have_what_kserve_knows() -> None:
    found = [(where, one) for where, one in objects() if one["kind"] == "InferenceService"]
    assert {one["metadata"]["name"] for _, one in found} == {"diabetes", "flowers", "iris"}
    for _, one in found:
        jsonschema.validate(one, SCHEMAS["InferenceService"])
