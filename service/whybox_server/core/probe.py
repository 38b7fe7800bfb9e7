"""Where a query looks into a model's graph, and what can be found there.

The words that methods and models use to speak of the inside of a model; neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from whybox_server.core.rows import Array
from whybox_server.core.target import Space

MAPS, POOLED = "maps", "pooled"  # what there may be inside: channels at places, and a linear end behind them

Option: TypeAlias = float | str | tuple[float, ...] | tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """A place in the graph and the rules by which a score is led back to it. Equal probes share a session.

    rules, options: as `graph.gradient.tables.composite` names them; options sorted by name.
    at: a tensor of the graph; "": the input that is explained. space: units of the differentiated
    target; None: the model's own. enters: the rows hold the tensor itself, of this shape per row,
    and it is not computed from the inputs any more; None: they hold inputs.
    """

    rules: str = "gradient"
    options: tuple[tuple[str, Option], ...] = ()
    at: str = ""
    space: Space | None = None
    enters: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A tensor that gradients reach. shape: of one row, None where it depends on the rows.

    inputs: what it stands for: itself, if it is an input; the whole numbers that are looked up as
    it; the columns that it joins. notes: what a reader must know of gradients there. pooling: whether
    it is made by nothing but gathering the places of another.
    """

    name: str
    shape: tuple[int | None, ...]
    inputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pooling: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """The end of a network whose scores are a linear map of channel means.

    layer: the maps, (channels, *places) per row. weights: (outputs, channels). bias: (outputs,).
    """

    layer: Site
    weights: Array
    bias: Array


class Inside(Protocol):
    """The graph of a model, as far as methods need to know it. Calls may take seconds the first time."""

    def site(self, probe: Probe) -> Site:
        """Where this probe leads; its session is ready afterwards.

        Raises MethodUnsupported, naming nodes and remedies, where there is no way back to it, and
        InvalidRequest for a tensor that does not exist, with the nearest names.
        """
        ...

    def layers(self) -> tuple[Site, ...]:
        """Every tensor of channels, then places, that lies between the largest input and the scores, in order."""
        ...

    def pooled(self) -> Pooled:
        """The linear end. Raises MethodUnsupported for a network that does not end so."""
        ...
