"""Ways back through a graph, by the names that callers use: the gradient and its alternatives.

Relevance (LRP, deep Taylor) is a package of its own that a build may lack, or a deployer may switch off:
whoever reads the settings says so with each call, for nothing here reads the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from types import MappingProxyType
from typing import TypeAlias

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.probe import Option
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT
from whybox_server.graph.gradient.tables.relu import DECONVNET, GUIDED

Options: TypeAlias = Mapping[str, Option]
NONE: Options = MappingProxyType({})


def _fixed(table: Composite) -> Callable[[Options], Composite]:
    """A table that has no options."""

    def made(options: Options) -> Composite:
        if options:
            raise InvalidRequest.of(next(iter(options)), "this table has no options")
        return table

    return made


def _deeplift(options: Options) -> Composite:
    """Its option is `rule`, a name."""
    unknown = options.keys() - {"rule"}
    if unknown:
        raise InvalidRequest.of(min(unknown), "deeplift has one option, rule")
    return DEEPLIFT(str(options.get("rule", "rescale")))


def _lrp(options: Options) -> Composite:
    from whybox_server.graph.lrp import lrp  # noqa: PLC0415 - a build may leave it out

    return lrp(options)


def _deep_taylor(options: Options) -> Composite:
    from whybox_server.graph.lrp import deep_taylor  # noqa: PLC0415 - as above

    return deep_taylor(options)


TABLES: dict[str, Callable[[Options], Composite]] = {
    "gradient": _fixed(Composite(GRADIENT)),
    "guided_backprop": _fixed(GUIDED),
    "deconvnet": _fixed(DECONVNET),
    "deeplift": _deeplift,
    "lrp": _lrp,
    "deep_taylor": _deep_taylor,
}
RELEVANCE = frozenset({"lrp", "deep_taylor"})


def available(*, lrp: bool = True) -> tuple[str, ...]:
    """Names that `composite` takes. lrp: false if the deployer switched relevance off."""
    spec = find_spec("whybox_server.graph.lrp") if lrp else None
    built = spec is not None and spec.has_location  # a folder without files has none
    return tuple(name for name in TABLES if built or name not in RELEVANCE)


def composite(name: str, options: Options = NONE, *, lrp: bool = True) -> Composite:
    """The way back with this name. lrp: false if the deployer switched relevance off.

    Raises InvalidRequest for a name or an option that there is not, with the nearest ones, and
    MethodUnsupported for relevance in a build without it.
    """
    names = available(lrp=lrp)
    if name in TABLES and name not in names:
        raise MethodUnsupported(
            f"{name} needs LRP, which is left out of this build; integrated_gradients and deeplift explain "
            "the same models",
            alternatives="integrated_gradients, deeplift",
        )
    if name not in TABLES:
        near = get_close_matches(name, names, n=3, cutoff=0)
        raise InvalidRequest.of("table", f"there is no table {name!r}; did you mean {' or '.join(near)}?")
    return TABLES[name](options)
