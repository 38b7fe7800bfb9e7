"""The restricted profile of the Pod Security Standards, rule by rule, and what we ask beyond it.

https://kubernetes.io/docs/concepts/security/pod-security-standards
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from tests.deploy.manifests import Object, containers, objects, pods

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS: set[str] = set()  # none is needed here


def violations(template: Object) -> Iterator[str]:
    """What the restricted profile, baseline included, refuses."""
    spec = template["spec"]
    pod: Any = spec.get("securityContext", {})
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(flag):
            yield flag
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    if pod.get("sysctls") or pod.get("seLinuxOptions") or pod.get("windowsOptions"):
        yield "sysctls, SELinux or Windows options"
    for one in containers(template):
        own: Any = one.get("securityContext", {})
        name = one["name"]
        effective = {**pod, **own}
        if own.get("privileged"):
            yield f"{name}: privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if effective.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot"
        if effective.get("runAsUser") == 0:
            yield f"{name}: runAsUser"
        if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {
            "NET_BIND_SERVICE"
        }:
            yield f"{name}: capabilities"
        if own.get("procMount", "Default") != "Default" or "appArmorProfile" in effective:
            yield f"{name}: procMount or AppArmor"
        if any("hostPort" in port for port in one.get("ports", [])):
            yield f"{name}: hostPort"
        for handler in [*one.get("lifecycle", {}).values(), *(one.get(p, {}) for p in PROBES)]:
            if any("host" in handler.get(kind, {}) for kind in ("httpGet", "tcpSocket")):
                yield f"{name}: a probe of another host"


PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
ALL = [(f"{where}: {name}", template) for where, one in objects() for name, template in pods(one)]


@pytest.mark.parametrize("template", [one for _, one in ALL], ids=[name for name, _ in ALL])
def test_a_pod_is_restricted_and_more(template: Object) -> None:
    """Beyond the profile: nothing is writable but volumes, users have numbers, and memory is bounded."""
    assert not list(violations(template))
    spec = template["spec"]
    assert spec["automountServiceAccountToken"] is False
    for one in containers(template):
        user = {**spec["securityContext"], **one["securityContext"]}["runAsUser"]
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
        assert user >= 1000
        resources = one["resources"]
        assert resources["limits"]["memory"] == resources["requests"]["memory"]
        assert "cpu" in resources["requests"]
        assert "cpu" not in resources["limits"]
    for volume in spec["volumes"]:
        assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"]


BREAKS = {
    "hostNetwork": lambda spec, one: spec.update(hostNetwork=True),
    "volume v": lambda spec, one: spec["volumes"].append({"name": "v", "hostPath": {"path": "/"}}),
    "runAsNonRoot": lambda spec, one: spec["securityContext"].pop("runAsNonRoot"),
    "runAsUser": lambda spec, one: one["securityContext"].update(runAsUser=0),
    "seccompProfile": lambda spec, one: spec["securityContext"].pop("seccompProfile"),
    "capabilities": lambda spec, one: one["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "allowPrivilegeEscalation": lambda spec, one: one["securityContext"].pop("allowPrivilegeEscalation"),
    "privileged": lambda spec, one: one["securityContext"].update(privileged=True),
    "hostPort": lambda spec, one: one["ports"][0].update(hostPort=80),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_breaking_a_rule_is_found(rule: str) -> None:
    template = copy.deepcopy(next(one for name, one in ALL if name.startswith("kustomize/base")))
    BREAKS[rule](template["spec"], template["spec"]["containers"][0])
    (found,) = violations(template)
    assert rule in found
