"""What is explained, and by what: the instance a method works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whybox_server.core.probe import Inside
from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec
from whybox_server.core.target import Targets


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One model input, by input name, without the batch axis and in the model's own dtypes."""

    inputs: Mapping[str, Array]
    spec: ModelSpec  # complete: modality and details are set

    @property
    def main(self) -> str:
        """The input that is segmented when there are several: the largest one."""
        return max(self.inputs, key=lambda name: self.inputs[name].size)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An instance and what is asked about it; the first thing every method is given.

    inside: the model's graph; None where there is none to look into.
    """

    instance: Instance
    targets: Targets
    inside: Inside | None = None
