"""Finds the tensor that is explained, and makes it the graph's only output.

Behind a saturated Softmax the evidence cannot be seen any more, so that logits are explained
wherever a trailing Softmax or Sigmoid can be taken off. The caller's model is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

from whybox_server.core.errors import InvalidRequest, ModelRejected
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import Link
from whybox_server.graph import classifiers
from whybox_server.graph.walk import attribute, inferred_shapes, producers, prune

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
NO_SCORES = (
    TensorProto.STRING,
    TensorProto.COMPLEX64,
    TensorProto.COMPLEX128,
    TensorProto.UNDEFINED,
    TensorProto.BFLOAT16,
)
RESHAPING = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast"})
SOFTMAX_LAST_AXIS_SINCE = 13  # before, Softmax flattened everything from its axis on


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A model whose only output is the tensor to explain.

    kind: what the tensor holds; None if the graph does not say. declared: the same of `source`.
    changed: False if `model` computes no other outputs than the model it was made from.
    """

    model: ModelProto
    tensor: str
    source: str  # the model's own output it was found behind
    kind: ScoreKind | None
    declared: ScoreKind | None
    link: Link
    labels: tuple[str, ...]
    note: str  # what was cut, in words; empty if nothing was
    changed: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    tensor: str
    kind: ScoreKind | None
    link: Link = Link.SOFTMAX
    margins_of: NodeProto | None = None  # a classifier whose post_transform becomes NONE
    note: str = ""


def explained(model: ModelProto, output: str = "", *, batched: bool = True, logits: bool = True) -> Cut:
    """Cut a model to the one tensor that is explained.

    output: one of the model's outputs; empty picks one. batched: axis 0 counts rows.
    logits: look behind a trailing Softmax or Sigmoid.
    Raises InvalidRequest for an unknown output, ModelRejected if no output can be explained.
    """
    source = _named(model, output) if output else _picked(model)
    made_by = producers(model.graph)
    tensor, labels, is_map = _behind_zipmap(source, made_by)
    found = _logits(model, tensor, made_by, batched=batched) if logits else None
    declared = ScoreKind.PROBABILITY if found else _declared(tensor, source, made_by, is_map=is_map)
    if found is None:
        found = _Found(tensor, declared)
    others = len(model.graph.output) > 1
    changed = others or found.tensor != source or found.margins_of is not None
    copy = _with_output(model, found) if changed else model
    labels = labels or _nearby_labels(model, tensor, made_by)
    return Cut(copy, found.tensor, source, found.kind, declared, found.link, labels, found.note, changed)


def _named(model: ModelProto, output: str) -> str:
    names = [entry.name for entry in model.graph.output]
    if output not in names:
        near = get_close_matches(output, names, 1, 0) or names
        raise InvalidRequest.of(
            "spec.output", f"the model has no output {output!r}; did you mean {near[0]!r}?"
        )
    return output


def _picked(model: ModelProto) -> str:
    outputs = list(model.graph.output)
    maps = [entry.name for entry in outputs if entry.type.HasField("sequence_type")]
    types = {entry.name: entry.type.tensor_type.elem_type for entry in outputs}
    floating = [name for name, kind in types.items() if kind in FLOATS]
    likely = [name for name in floating if "prob" in name.lower()]
    numeric = [name for name, kind in types.items() if kind not in NO_SCORES]
    candidates = maps + likely + floating + numeric
    if not candidates:
        raise ModelRejected(
            "no output of the model holds numbers, so there is no score to explain", rule="NO_NUMERIC_OUTPUT"
        )
    return candidates[0]


def _behind_zipmap(source: str, made_by: dict[str, NodeProto]) -> tuple[str, tuple[str, ...], bool]:
    """The tensor behind a ZipMap, the labels it holds, and whether there was one."""
    node = made_by.get(source)
    if node is None or node.op_type != "ZipMap":
        return source, (), False
    return node.input[0], classifiers.labels_of(node), True


def _logits(model: ModelProto, tensor: str, made_by: dict[str, NodeProto], *, batched: bool) -> _Found | None:
    """The logits behind a probability, if they can be had exactly."""
    normalised = False
    while (node := made_by.get(tensor)) is not None:
        if node.op_type in RESHAPING and not _narrows(node):
            tensor = node.input[0]
        elif node.op_type == "Normalizer" and classifiers.text(node, "norm") == b"L1":
            normalised, tensor = True, node.input[0]
        elif node.op_type in ("Softmax", "LogSoftmax") and not normalised:
            return _softmax(model, node, batched=batched)
        elif node.op_type == "Sigmoid" and not normalised:
            return _Found(node.input[0], ScoreKind.LOGIT, Link.SIGMOID, note=_cut_note(node))
        else:
            return _margins(node, tensor, normalised=normalised)
    return None


def _narrows(node: NodeProto) -> bool:
    """A Cast to integers decides, so that what stands before it is something else."""
    to = attribute(node, "to")
    return node.op_type == "Cast" and to is not None and to.i not in FLOATS


def _softmax(model: ModelProto, node: NodeProto, *, batched: bool) -> _Found | None:
    """Its input, if it is one Softmax per row and not, say, one per pixel."""
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    given = attribute(node, "axis")
    axis = given.i if given is not None else (-1 if version >= SOFTMAX_LAST_AXIS_SINCE else 1)
    shape = inferred_shapes(model).get(node.input[0])
    if shape is None:
        return None
    axis %= max(len(shape), 1)
    mixed = range(axis, len(shape)) if version < SOFTMAX_LAST_AXIS_SINCE else (axis,)
    apart = [length for at, length in enumerate(shape) if at not in mixed and not (batched and at == 0)]
    if any(length != 1 for length in apart) or (batched and 0 in mixed):
        return None
    return _Found(node.input[0], ScoreKind.LOGIT, Link.SOFTMAX, note=_cut_note(node))


def _margins(node: NodeProto, tensor: str, *, normalised: bool) -> _Found | None:
    """Margins of an ai.onnx.ml classifier whose scores are `tensor`."""
    if len(node.output) < 2 or node.output[1] != tensor or node.domain != classifiers.ML_DOMAIN:
        return None
    link = classifiers.margin_link(node)
    if link is None or (normalised and not classifiers.sums_to_one(node)):
        return None
    transform = classifiers.text(node, "post_transform").decode()
    note = f"margins of {node.op_type} are explained: its {transform} was left out"
    return _Found(tensor, ScoreKind.LOGIT, link, node, note)


def _cut_note(node: NodeProto) -> str:
    return f"the model was cut before its final {node.op_type}: logits are explained"


def _declared(tensor: str, source: str, made_by: dict[str, NodeProto], *, is_map: bool) -> ScoreKind | None:
    """What an uncut output holds, as far as graph and names tell."""
    while (node := made_by.get(tensor)) is not None and node.op_type in RESHAPING and not _narrows(node):
        tensor = node.input[0]
    if node is not None and node.op_type in classifiers.REGRESSORS:
        return ScoreKind.VALUE
    if node is not None and node.op_type in ("Softmax", "Sigmoid"):
        return ScoreKind.PROBABILITY
    if node is not None and node.op_type == "LogSoftmax":
        return ScoreKind.LOGIT
    likely = is_map or "prob" in source.lower() or (node is not None and classifiers.is_forest(node))
    return ScoreKind.PROBABILITY if likely else None


def _nearby_labels(model: ModelProto, tensor: str, made_by: dict[str, NodeProto]) -> tuple[str, ...]:
    """Labels of the nodes straight behind the scores, else of the only classifier there is."""
    while (node := made_by.get(tensor)) is not None:
        if labels := classifiers.labels_of(node):
            return labels
        if node.op_type not in RESHAPING | {"Normalizer"}:
            break
        tensor = node.input[0]
    found = {labels for node in model.graph.node if (labels := classifiers.labels_of(node))}
    return found.pop() if len(found) == 1 else ()


def _with_output(model: ModelProto, found: _Found) -> ModelProto:
    """A copy that computes this tensor and nothing that is not needed for it."""
    position = None
    if found.margins_of is not None:
        position = next(i for i, node in enumerate(model.graph.node) if found.tensor in node.output)
    copy = ModelProto()
    copy.CopyFrom(model)
    if position is not None:
        entry = attribute(copy.graph.node[position], "post_transform")
        if entry is not None:
            entry.s = b"NONE"
    declared = {entry.name: entry for entry in (*copy.graph.output, *copy.graph.value_info)}
    value = ValueInfoProto()
    value.CopyFrom(declared.get(found.tensor, ValueInfoProto(name=found.tensor)))
    del copy.graph.output[:]
    copy.graph.output.append(value)
    prune(copy.graph)
    return copy
