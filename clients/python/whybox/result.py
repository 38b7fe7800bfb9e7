"""An explanation as a caller reads it: a view over the wire message.

Nothing is copied before it is asked for. Numbers are numpy; pictures are drawn by `whybox.render`; other
formats are in `jsonform` and `interop`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from whybox import findings
from whybox.errors import ExplainError, near
from whybox.one_target import only
from whybox.summaries import summary
from whybox.tensors import Array, from_tensor
from whybox.v1 import explanation_pb2
from whybox.views import Provenance, Target, Usage, view

FRAME_HEIGHT_PX = 520  # of the notebook's frame


class Explanation:
    """What a method found for one instance.

    With several targets, `values`, `target` and all other numbers are those of the first one; `e[1]` and
    `e["cat"]` are explanations of one target each, and `for one in e` goes through all of them.
    """

    __slots__ = ("message",)

    def __init__(self, message: explanation_pb2.Explanation) -> None:
        self.message = message

    # Targets

    @property
    def target(self) -> Target:
        """What is explained: index, label, score of the instance, probability, space of the score."""
        return view(Target, self.message.targets[0])

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets, in the order of the request."""
        return tuple(view(Target, target) for target in self.message.targets)

    def __len__(self) -> int:
        return len(self.message.targets)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[at] for at in range(len(self)))

    def __getitem__(self, key: int | str) -> Explanation:
        """The explanation of one target, by position or label. Raises IndexError or KeyError."""
        if isinstance(key, str):
            labels = [target.label for target in self.message.targets]
            if key not in labels:
                message = f"no target {key!r}; {near(key, labels)}"
                raise KeyError(message)
            key = labels.index(key)
        if not -len(self) <= key < len(self):
            message = f"target {key} of {len(self)}"
            raise IndexError(message)
        return Explanation(only(self.message, key % len(self)))

    # Kinds of results

    @property
    def kind(self) -> str:
        """One of "attribution", "rule", "contrast", "regions", "mask"; "" for one newer than this client."""
        return self.message.WhichOneof("result") or ""

    @property
    def rule(self) -> findings.Rule:
        """IF its predicates hold THEN the model says the target. Raises ExplainError for other kinds."""
        return findings.rule(self._result("rule"))

    @property
    def contrast(self) -> findings.Contrast:
        """What must be there and what must not. Raises ExplainError for other kinds."""
        return findings.contrast(self._result("contrast"))

    @property
    def regions(self) -> findings.Regions:
        """The chosen segments and f(S) after each. Raises ExplainError for other kinds."""
        return findings.regions(self._result("regions"))

    @property
    def mask(self) -> findings.Mask:
        """How much of each place to keep. Raises ExplainError for other kinds."""
        return findings.mask(self._result("mask"))

    @property
    def flip_set(self) -> findings.FlipSet | None:
        """The smallest set found whose removal changes the answer; None where none was looked for."""
        attribution = self.message.attribution
        return findings.flip_set(attribution.flip_set) if attribution.HasField("flip_set") else None

    # Numbers

    @property
    def values(self) -> Array:
        """A number per segment, or per place where `segments` is None; float64.

        Attribution: in `unit`; positive supports the target. Rule: 1 where a predicate is about it.
        Contrast: 1 where the pertinent positive keeps it, -1 where the pertinent negative changes it
        (also where both do). Regions: f(S) that it added, 0 where not chosen. Mask: how much each place
        counts, (*places), of a series (time, channels); 1 - `mask.values` in the game of deletion.
        """
        if self.kind == "attribution":
            values: Array = from_tensor(self.message.attribution.values)[0]
            return values
        self._units()  # says what a newer kind lacks
        from whybox.render.results import finding  # noqa: PLC0415 - callers of attributions need no renderer

        found: Array = finding(self.message, 0).values
        return found

    @property
    def unit(self) -> str:
        """Unit of `values`: the target's space, or the method's own ("log2 odds"); "" for mere marks."""
        if self.kind in ("attribution", "regions"):
            return self.message.attribution.unit or self.target.space
        return ""

    @property
    def segments(self) -> Array | None:
        """Which segment each position of the explained input belongs to, -1 where nothing was varied.

        int32, broadcastable to the input's shape; None when there is a value per element.
        """
        by_input = self.segments_by_input
        if self._units().input in by_input:
            return by_input[self._units().input]
        return next(iter(by_input.values()), None)

    @property
    def segments_by_input(self) -> Mapping[str, Array]:
        """`segments` of every input, for models with several."""
        by_name = self._units().segments.by_name
        return {name: from_tensor(by_name[name]) for name in sorted(by_name)}

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each value as a reader knows it, in the order of `values.ravel()`."""
        units = self._units()
        if units.names:
            return tuple(units.names)
        shape = self.values.shape
        name = units.input if shape == tuple(units.instance_shape) else "place "  # a mask has no channels
        return tuple(f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(shape))

    @property
    def base_value(self) -> float | None:
        """Score with everything hidden, or the intercept of a fit; None when the method has none."""
        if not self.message.attribution.HasField("base_values"):
            return None
        return float(from_tensor(self.message.attribution.base_values)[0])

    @property
    def standard_errors(self) -> Array | None:
        """One standard error per value, in the same shape and unit; None where theory gives none."""
        if not self.message.attribution.HasField("standard_errors"):
            return None
        errors: Array = from_tensor(self.message.attribution.standard_errors)[0]
        return errors

    @property
    def quality(self) -> Mapping[str, float]:
        """What the attribution is worth, by measure ("weighted_r2"); empty when the method has none."""
        quality = self.message.attribution.quality
        return dict(quality[0].measures) if quality else {}

    @property
    def additive(self) -> bool:
        """True: base value + sum of values = score, up to rounding."""
        return self.message.attribution.additive

    def heatmap(self) -> Array:
        """The values at the instance's resolution: (height, width), (time, channels) or (columns,).

        Channels of a picture are summed. Positions that were never varied are 0.
        """
        from whybox.render import heatmap  # noqa: PLC0415 - callers of numbers alone need no renderer

        found: Array = heatmap(self.message, target=0)
        return found

    def as_list(self) -> list[tuple[str, float]]:
        """(name, value), largest absolute value first; what a rule, contrast, regions or mask marks."""
        names, values = self.names, self.values.ravel()
        order = _by_size(values)
        if self.kind != "attribution":
            order = order[values[order] != 0]
        return [(names[i], float(values[i])) for i in order]

    def as_map(self) -> dict[int, list[tuple[int, float]]]:
        """As LIME gives it: (position in `values`, value), largest first, by index of each target."""
        return {
            one.target.index: [(int(i), float(one.values.ravel()[i])) for i in _by_size(one.values.ravel())]
            for one in self
        }

    # How it came about

    @property
    def complete(self) -> bool:
        """False: budget or deadline ended the work early, and this is the best so far."""
        return self.message.complete

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know."""
        return tuple(self.message.warnings)

    @property
    def usage(self) -> Usage:
        """What was asked and what it cost."""
        return view(Usage, self.message.usage)

    @property
    def provenance(self) -> Provenance:
        """What is needed to get the same answer again."""
        return view(Provenance, self.message.provenance)

    # Other forms

    def to_json(self, path: str | Path | None = None) -> str:
        """All of it as JSON that a person can read and `from_json` reads back; also written to `path`."""
        from whybox.jsonform import to_json  # noqa: PLC0415 - loaded when asked for

        text = json.dumps(to_json(self.message), ensure_ascii=False, indent=1, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @staticmethod
    def from_json(text: str) -> Explanation:
        """What `to_json` wrote. Raises ExplainError when it is something else."""
        from whybox.jsonform import from_json  # noqa: PLC0415 - loaded when asked for

        return Explanation(from_json(text))

    def to_npz(self, path: str | Path | IO[bytes]) -> None:
        """Arrays by name for numpy (values (targets, ...), segments.INPUT, names, ...), and all the rest.

        Contrasts also have pertinent_positive.INPUT and pertinent_negative.INPUT, masks `mask`, regions
        `chosen` and `scores`, rules `predicates`.

        numpy appends ".npz" to a name without it.
        """
        from whybox.jsonform import arrays  # noqa: PLC0415 - loaded when asked for

        named: dict[str, Any] = arrays(self.message)
        np.savez_compressed(path, **named)

    @staticmethod
    def from_npz(path: str | Path) -> Explanation:
        """What `to_npz` wrote. Raises ExplainError when it is something else."""
        from whybox.jsonform import from_arrays  # noqa: PLC0415 - loaded when asked for

        with np.load(path, allow_pickle=False) as file:
            return Explanation(from_arrays(file))

    def to_png(self, path: str | Path | None = None, **options: Any) -> bytes:
        """A picture of the first target; also written to `path`. options: see `whybox.render`."""
        from whybox.render import png  # noqa: PLC0415 - callers of numbers alone need no renderer

        content: bytes = png(self.message, target=0, **options)
        if path is not None:
            Path(path).write_bytes(content)
        return content

    def to_html(self, path: str | Path | None = None) -> str:
        """A page that stands alone, of all targets; also written to `path`."""
        from whybox.render import html as page  # noqa: PLC0415 - as above

        text: str = page(self.message)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_text(self, *, width: int = 80, color: bool = False) -> str:
        """What the command line prints, for the first target."""
        from whybox.render import text  # noqa: PLC0415 - as above

        found: str = text(self.message, target=0, width=width, color=color)
        return found

    def to_shap(self, *, force: bool = False) -> Any:
        """A `shap.Explanation`, for `shap.plots`; see `whybox.interop.to_shap`."""
        from whybox.interop import to_shap  # noqa: PLC0415 - shap is no dependency

        return to_shap(self, force=force)

    def to_alibi(self) -> Any:
        """The form of alibi, which exists for rules and contrasts; see `whybox.interop.to_alibi`."""
        from whybox.interop import to_alibi  # noqa: PLC0415 - as above

        return to_alibi(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Explanation) and self.message == other.message

    __hash__ = None  # type: ignore[assignment] # messages can be changed

    def __repr__(self) -> str:
        target, usage = self.target, self.usage
        more = f" and {len(self) - 1} more" if len(self) > 1 else ""
        state = "" if self.complete else ", PARTIAL"
        return (
            f"<Explanation {self.provenance.method} of {target.label!r} ({target.index}){more}: "
            f"{target.space} {target.score:.4g}, {usage.rows_asked} rows{state}; {summary(self)}>"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame of its own, so that its styles touch nothing else."""
        source = html.escape(self.to_html(), quote=True)
        style = f"width:100%;height:{FRAME_HEIGHT_PX}px;border:0"
        return f'<iframe title="explanation" sandbox srcdoc="{source}" style="{style}"></iframe>'

    def _result(self, kind: str) -> Any:
        """The message of a result of this kind. Raises ExplainError for another."""
        if self.kind != kind:
            message = f"this explanation has no {kind}: its result is {self.kind or 'of a newer kind'}"
            raise ExplainError(message, code="FAILED_PRECONDITION", reason="", remedy="read `e.kind`")
        return getattr(self.message, kind)

    def _units(self) -> explanation_pb2.Units | explanation_pb2.Attribution:
        """What the values belong to; attributions have the fields of units. Raises ExplainError without."""
        if self.kind == "attribution":
            return self.message.attribution
        if not self.kind:
            message = "this explanation has no values: its result is of a newer kind"
            raise ExplainError(message, code="FAILED_PRECONDITION", reason="", remedy="read `e.message`")
        units: explanation_pb2.Units = getattr(self.message, self.kind).units
        return units


def _by_size(values: Array) -> Array:
    """Positions of (n,) values, largest absolute value first; ties keep their order."""
    order: Array = np.argsort(-np.abs(values), kind="stable")
    return order
