"""What the README shows is what the code takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whybox_server.core.spec import ScoreKind
from whybox_server.serving.remote.declared import parse
from whybox_server.serving.remote.endpoint import Speech
from whybox_server.serving.remote.speech import PROTOCOLS
from whybox_server.serving.remote.speech.json_http import check_endpoint

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_example_of_endpoints_yaml_is_one(tmp_path: Path) -> None:
    """Both endpoints, with the credential that one of them names, limits and all."""
    (example,) = re.findall(r"```yaml\n(.*?)```", section("Endpoints"), re.DOTALL)
    found = parse(example, tmp_path)
    churn, sentiment = (found.endpoints[f"endpoints/{name}"] for name in ("churn", "sentiment"))
    assert (churn.speech, churn.version, churn.limits.calls_per_day) == (Speech.OIP_REST, "3", 20_000)
    assert churn.credential is not None
    assert churn.credential.file == str(tmp_path / "secrets" / "risk-key")
    assert churn.spec.score is ScoreKind.PROBABILITY
    assert not check_endpoint(sentiment)


@pytest.mark.parametrize("speech", PROTOCOLS)
def test_the_table_of_protocols_has_all_of_them(speech: Speech) -> None:
    assert f"`{speech.value}`" in section("Endpoints")


def test_the_options_that_are_told_are_those_of_the_commands() -> None:
    """Words in backticks that begin with two hyphens, held against the server's and the client's own help."""
    from whybox.cli.parser import make_parser  # noqa: PLC0415 - the client's, where it is installed
    from whybox_server.settings import Settings  # noqa: PLC0415

    told = set(re.findall(r"(--[a-z][a-z-]+)", section("Endpoints")))
    server = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    commands = next(action for action in make_parser()._actions if action.dest == "command").choices
    client = {word for one in commands.values() for action in one._actions for word in action.option_strings}
    assert told - server - client == set()
    assert told & server
    assert told & client
