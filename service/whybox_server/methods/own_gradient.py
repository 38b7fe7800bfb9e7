"""Whether a model's own gradient can be had at an input, for methods that do without if they must."""

from __future__ import annotations

from dataclasses import dataclass

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.instance import Subject
from whybox_server.core.probe import Probe
from whybox_server.core.target import Space

OWN, ESTIMATED = "slopes are the model's own gradients", "slopes are estimated from scores"


@dataclass(frozen=True, slots=True)
class OwnGradient:
    """probe: asks for it; None: there is none. warnings: why not, or what a reader must know of it."""

    probe: Probe | None = None
    warnings: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Which slopes are followed."""
        return ESTIMATED if self.probe is None else OWN


def own_gradient(subject: Subject, name: str, space: Space | None = None) -> OwnGradient:
    """The gradient of scores in this unit at the input `name`. space None: the model's own unit.

    A model without a graph has none, and nothing is to be said about that.
    """
    if subject.inside is None:
        return OwnGradient()
    probe = Probe(at=name, space=space)
    try:
        site = subject.inside.site(probe)
    except (InvalidRequest, MethodUnsupported) as error:
        return OwnGradient(warnings=(f"slopes were estimated, for the model has no gradient: {error}",))
    return OwnGradient(probe, site.notes)
