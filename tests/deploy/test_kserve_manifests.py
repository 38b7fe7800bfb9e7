"""What the manifests of explainers promise: to KServe's controller, to its gateway, and to the server in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.deploy.container import started
from tests.deploy.dockerfile import FINAL, environment_of
from tests.deploy.manifests import DEPLOY, Object, appended, documents, objects, settings_of

from whybox_server.core.spec import Modality
from whybox_server.kserve.behind import entry
from whybox_server.kserve.defaults import defaults_of
from whybox_server.serving.remote import declared
from whybox_server.settings import split_address

EXPLAINED = ("diabetes", "flowers")


def inference_service(name: str) -> Object:
    return next(one for _, one in objects() if one["kind"] == "InferenceService" and one["metadata"]["name"] == name)


@pytest.mark.parametrize("name", EXPLAINED)
def test_an_explainer_is_what_kserves_controller_makes_a_pod_of(name: str) -> None:
    """HTTP is the first port, gRPC the second; the gateway waits longer than the longest call; nothing is said twice."""
    explainer = inference_service(name)["spec"]["explainer"]
    (container,) = explainer["containers"]
    assert container["name"] == "kserve-container"
    assert container["args"] == []
    assert [(port["name"], port["containerPort"]) for port in container["ports"]][:2] == [
        ("http", 8080),
        ("grpc", 8081),
    ]
    given = {**environment_of(FINAL), **settings_of(container)}
    _, metrics = split_address(given["WHYBOX_METRICS_LISTEN"], "metrics_listen")
    assert explainer["annotations"]["prometheus.io/port"] == str(metrics)
    assert metrics in {port["containerPort"] for port in container["ports"]}
    assert explainer["timeout"] > float(given["WHYBOX_MAX_DEADLINE_S"])
    assert not {"WHYBOX_HTTP_LISTEN", "WHYBOX_INSECURE", "WHYBOX_PREDICTOR_HOST"} & set(given)


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_an_explainer_does_by_default_is_something_it_can_do(name: str, tmp_path: Path) -> None:
    """The check that the server makes when it starts."""
    (container,) = inference_service(name)["spec"]["explainer"]["containers"]
    settings = started(container, tmp_path)
    assert defaults_of(settings.explain_method, settings.explain_parameters)["method"] == settings.explain_method


def test_the_mounted_endpoint_adds_to_what_the_controller_says() -> None:
    """Of the same name as the model, without a url; whybox's own reader is the oracle."""
    (given,) = [one for one in documents(DEPLOY / "kserve" / "image.yaml") if one["kind"] == "ConfigMap"]
    name = inference_service("flowers")["metadata"]["name"]
    host = appended(name)[3]
    under = {name: entry(name, host, "auto", tls=False, timeout_s=600.0, environment={})}
    (found,) = declared.parse(given["data"]["endpoints.yaml"], Path("/"), under).endpoints.values()
    assert (found.name, found.url, found.model) == ("endpoints/flowers", f"http://{host}", name)
    assert found.spec.modality is Modality.IMAGE
    assert found.limits.rows_per_call == 32
    assert found.limits.timeout_s == 600.0
    with pytest.raises(declared.DescriptionError, match="url"):
        declared.parse(given["data"]["endpoints.yaml"], Path("/"))
