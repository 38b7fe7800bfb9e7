"""Alerts and dashboard ask for what the server's registry really has: names, labels, and labels' values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.deploy.manifests import DEPLOY, documents, objects

from whybox_server.core.errors import Reason
from whybox_server.engine.events import Failed, Finished, ModelLoaded, Started
from whybox_server.kserve.meters import PHASES, Meters
from whybox_server.service import Service
from whybox_server.serving.lane import Usage
from whybox_server.settings import Settings

SCHEMAS = documents(Path(__file__).parent / "schemas.yaml")[0]
RULES = documents(DEPLOY / "prometheus" / "alerts.yaml")[0]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
SCRAPED = {"job", "instance"}  # Prometheus puts them on everything
OTHERS = {"up": SCRAPED}  # Prometheus' own
GRAFANA = {"$__rate_interval": "5m", "$job": "whybox"}


ENDPOINTS = """
endpoints:
  iris:
    url: http://127.0.0.1:1
    inputs: [{name: x, shape: [4]}]
    limits: {calls_per_day: 10}
"""


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """{sample: {label: values}} of a server in which everything has happened once, endpoints and KServe's calls too."""
    declared = tmp_path_factory.mktemp("endpoints") / "endpoints.yaml"
    declared.write_text(ENDPOINTS)
    service = Service(Settings(endpoints=declared))
    kserve = CollectorRegistry()
    try:
        with Meters(kserve).timed("iris") as call:
            for phase in PHASES:
                with call.phase(phase):
                    pass
        usage = Usage(batches=1)
        service.metrics.tell(Started("id", "lime", "models/m", "image", 10))
        service.metrics.tell(Finished("id", "lime", "models/m", "image", True, None, usage))
        service.metrics.tell(ModelLoaded("digest", "cpu", 0.1, ()))
        for reason in Reason:
            service.metrics.tell(Failed(reason))
        text = "".join(generate_latest(one).decode() for one in (service.metrics.registry, kserve))
    finally:
        service.pool.shutdown()
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL), with Grafana's variables put in."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in GRAFANA.items():
                text = text.replace(name, value)
            yield f"{panel['title']} {target['refId']}", text


class Visitor:
    """Collects what an expression selects, and the labels it groups by."""

    def __init__(self) -> None:
        self.selectors: list[Any] = []
        self.grouped: set[str] = set()

    def __call__(self, node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            self.selectors.append(node)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            self.grouped |= set(node.modifier.labels)


EACH = [pytest.param(text, id=where) for where, text in expressions()]


@pytest.mark.parametrize("text", EACH)
def test_an_expression_is_promql_over_metrics_that_exist(
    text: str, metrics: dict[str, dict[str, set[str]]]
) -> None:
    """Prometheus' grammar by its port; the running server's registry is the oracle for everything else."""
    found = Visitor()
    promql_parser.walk(promql_parser.parse(text), found)
    assert found.selectors
    for selector in found.selectors:
        labels = (
            metrics.get(selector.name)
            if selector.name not in OTHERS
            else dict.fromkeys(OTHERS[selector.name], set())
        )
        assert labels is not None, f"no metric {selector.name}"
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels or matcher.name in SCRAPED, matcher.name
            if matcher.name not in SCRAPED:
                values = matcher.value.split("|")
                assert set(values) <= labels[matcher.name], f"{matcher.name} is never one of {values}"
        assert found.grouped <= set(labels) | SCRAPED


def test_a_metric_that_is_gone_would_be_found(metrics: dict[str, dict[str, set[str]]]) -> None:
    """What the test above stands on: the names are those of samples, and reasons those of errors."""
    assert "whybox_backlog_second" not in metrics
    assert metrics["whybox_calls_failed_total"]["reason"] == {reason.value for reason in Reason}
    assert metrics["whybox_explanation_seconds_bucket"]["phase"] == {"wall", "queued", "model", "method"}
    assert metrics["whybox_endpoint_calls_left_today"]["endpoint"] == {"endpoints/iris"}
    assert metrics["request_explain_seconds_bucket"]["model_name"] == {"iris"}


def test_every_metric_is_shown_or_watched(metrics: dict[str, dict[str, set[str]]]) -> None:
    """A number that no panel and no alert uses is one that nobody sees."""
    told = " ".join(text for _, text in expressions())
    families = {re.sub(r"_(bucket|count|sum|total|created)$", "", name) for name in metrics}
    assert not {family for family in families if family not in told}


def test_rules_have_the_shape_that_prometheus_reads() -> None:
    """Known keys only, each alert once, and templates that name labels the expression keeps."""
    jsonschema.validate(RULES, SCHEMAS["Rules"])
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        words = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$\w+", words)) <= {"$labels", "$value"}
        for label in re.findall(r"\$labels\.(\w+)", words):
            kept = Visitor()
            promql_parser.walk(promql_parser.parse(rule["expr"]), kept)
            assert label in (kept.grouped or SCRAPED), f"{rule['alert']} loses {label}"


def test_the_dashboard_has_the_shape_that_grafana_reads() -> None:
    """Known keys only; panels have their own numbers and places, and use the variables there are."""
    jsonschema.validate(DASHBOARD, SCHEMAS["Dashboard"])
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval"}
    assert used == {variable["name"] for variable in DASHBOARD["templating"]["list"]}


def test_the_autoscaler_asks_for_a_gauge_of_the_server(metrics: dict[str, dict[str, set[str]]]) -> None:
    asked = {
        metric["pods"]["metric"]["name"]
        for _, one in objects()
        if one["kind"] == "HorizontalPodAutoscaler"
        for metric in one["spec"]["metrics"]
    }
    assert asked == {"whybox_backlog_seconds"}
    assert asked <= set(metrics)
    assert all(name in (DEPLOY / "README.md").read_text() for name in asked)
