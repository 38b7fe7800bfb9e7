"""The Dockerfile as data: its stages, and what the last one of each target inherits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache

from tests.deploy.manifests import DEPLOY

FILE = DEPLOY / "docker" / "Dockerfile"
IGNORE = DEPLOY / "docker" / "Dockerfile.dockerignore"
FINAL = "cpu"
TARGETS = ("cpu", "gpu")


@dataclass
class Stage:
    """Instructions as (WORD, rest), in order."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@cache
def stages() -> dict[str, Stage]:
    """By name. Continued lines are joined, comments dropped."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(None, 1)
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            found[name] = last = Stage(name, base)
        else:
            last.steps.append((word, rest))
    return found


def steps_of(target: str) -> list[tuple[str, str]]:
    """Of a stage and of the stages that it is built on."""
    stage = stages()[target]
    return [*(steps_of(stage.base) if stage.base in stages() else []), *stage.steps]


def base_of(target: str) -> str:
    """The image at the bottom of a stage."""
    base = stages()[target].base
    return base_of(base) if base in stages() else base


def environment_of(target: str) -> dict[str, str]:
    pairs = [pair for word, rest in steps_of(target) if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def last(target: str, word: str) -> str:
    """What the last instruction of this kind says; it is the one that counts."""
    return [rest for found, rest in steps_of(target) if found == word][-1]


def command(text: str) -> list[str]:
    """Of an exec form; raises ValueError for a shell form, for which there is no shell."""
    found = json.loads(text[text.index("[") :])
    assert all(isinstance(one, str) for one in found)
    return found
