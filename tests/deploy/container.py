"""A container of a manifest as the server in it sees it: the image's variables, the manifest's, and its arguments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.deploy.dockerfile import FINAL, environment_of
from tests.deploy.manifests import Object, appended, settings_of

from whybox_server.kserve.flags import understood
from whybox_server.settings import Settings, flags, from_command_line

FETCHED = "/mnt/models"  # where KServe puts what STORAGE_URI names


def started(container: Object, tmp_path: Path) -> Settings:
    """What the server in this container is told: by the image, by the manifest, and by KServe's controller."""
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    if any(one["name"] == "STORAGE_URI" for one in container["env"]):
        mounts.append(FETCHED)
    environment = {**environment_of(FINAL), **settings_of(container)}
    values = {key: value for key, value in environment.items() if key.startswith("WHYBOX_")}
    for name, value in values.items():
        if value.startswith("/"):
            assert any(Path(value).is_relative_to(mount) for mount in mounts), f"{name} is on no volume"
            values[name] = str(tmp_path / name)
            Path(values[name]).mkdir() if name == "WHYBOX_MODELS" else Path(values[name]).touch()
    said = understood(arguments_of(container), flags())
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WHYBOX_")]:
            patch.delenv(name)
        for name, value in values.items():
            patch.setenv(name, value)
        return from_command_line(said.argv, said.under)


def arguments_of(container: Object) -> list[str]:
    """With what KServe's controller appends, where it does (explainer_custom.go)."""
    own = list(container.get("args", []))
    return [*own, *appended("some-model")] if container["name"] == "kserve-container" else own
