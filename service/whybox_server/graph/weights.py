"""The numbers of a model's weights, and of what is made of weights alone, for a survey that has none."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.path import ahead
from whybox_server.graph.survey import Survey
from whybox_server.graph.walk import attribute, reads


class Weights:
    """Reads the model that a survey was made of; holds no copy of it."""

    def __init__(self, seen: Survey, model: ModelProto) -> None:
        self._seen = seen
        self._known = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            value = attribute(node, "value")
            if node.op_type == "Constant" and value is not None:
                self._known[node.output[0]] = value.t
        self._moving, _ = ahead(seen.nodes, seen.inputs, lambda node: True, bool)

    def array(self, name: Value) -> Array | None:
        """A weight's numbers; None for what depends on an input, and for an optional input left out."""
        facts = self._seen.facts
        tensor = facts.constants.get(name, self._known.get(name))
        if tensor is not None:
            return np.asarray(numpy_helper.to_array(tensor))
        maker = facts.makers.get(name)
        return None if maker is None or name in self._moving else self._made(maker, name)

    def _made(self, node: NodeProto, name: Value) -> Array | None:
        """What a node makes of weights, of a linear layer's size at most: exporters reshape and transpose."""
        inputs = {one: array for one in reads(node) if (array := self.array(one)) is not None}
        if len(inputs) < len({one for one in reads(node) if one}):
            return None
        given = [
            helper.make_tensor_value_info(one, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for one, array in inputs.items()
        ]
        graph = helper.make_graph([node], "one", given, [helper.make_empty_tensor_value_info(name)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._seen.opset)])
        (made,) = ReferenceEvaluator(model).run([name], inputs)
        return np.asarray(made)
