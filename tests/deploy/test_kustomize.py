"""Kustomizations refer to what exists, leave nothing lying about, and render where there is a kubectl."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from tests.deploy.manifests import KUBECTL, KUSTOMIZE, OVERLAYS, Object, documents, kustomizations, rendered

SCHEMAS = documents(Path(__file__).parent / "schemas.yaml")[0]


def name_of(found: Object) -> tuple[str, str, str]:
    return found["apiVersion"], found["kind"], found["metadata"]["name"]


def referred(kustomization: Path) -> list[Path]:
    """All that a kustomization names, as the files that Kustomize reads."""
    keys = documents(kustomization)[0]
    names = [*keys.get("resources", []), *keys.get("components", [])]
    names += [patch["path"] for patch in keys.get("patches", [])]
    names += [name for made in keys.get("configMapGenerator", []) for name in made["files"]]
    paths = [(kustomization.parent / name).resolve() for name in names]
    return [path / "kustomization.yaml" if path.is_dir() else path for path in paths]


def resources(kustomization: Path) -> list[Object]:
    """Every object of a kustomization and of those that it builds on, before patches."""
    keys = documents(kustomization)[0]
    found: list[Object] = []
    for name in keys.get("resources", []):
        path = (kustomization.parent / name).resolve()
        found += resources(path / "kustomization.yaml") if path.is_dir() else documents(path)
    return found


@pytest.mark.parametrize("path", kustomizations(), ids=lambda path: path.parent.name)
def test_a_kustomization_has_known_keys_and_refers_to_files_that_exist(path: Path) -> None:
    """The schema holds what is used here, and nothing else."""
    jsonschema.validate(documents(path)[0], SCHEMAS["Kustomization"])
    assert not [str(missing) for missing in referred(path) if not missing.is_file()]


def test_every_file_is_used_and_every_overlay_is_known() -> None:
    """A manifest that no kustomization names would never be applied."""
    tops = {(KUSTOMIZE / "overlays" / name / "kustomization.yaml").resolve() for name in OVERLAYS}
    used = tops | {file for path in kustomizations() for file in referred(path)}
    assert {path.resolve() for path in KUSTOMIZE.rglob("*.yaml")} == used


@pytest.mark.parametrize("path", kustomizations(), ids=lambda path: path.parent.name)
def test_patches_name_one_resource_each(path: Path) -> None:
    """By version, kind and name, among what the kustomization builds on; a component patches the base."""
    component = documents(path)[0]["kind"] == "Component"
    known = [
        name_of(found) for found in resources(KUSTOMIZE / "base/kustomization.yaml" if component else path)
    ]
    assert len(set(known)) == len(known)
    for patch in documents(path)[0].get("patches", []):
        (only,) = documents(path.parent / patch["path"])
        assert known.count(name_of(only)) == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_an_overlay_renders_with_each_resource_once(overlay: str) -> None:
    """kubectl's own kustomize is the oracle; generators add config maps, and nothing is lost."""
    found = rendered(overlay)
    path = KUSTOMIZE / "overlays" / overlay / "kustomization.yaml"
    made = len(documents(path)[0].get("configMapGenerator", []))
    assert len({name_of(one) for one in found}) == len(found) == len(resources(path)) + made
