"""A runtime for MLServer that runs an ONNX graph; it lives in MLServer's own environment, without whybox."""

from __future__ import annotations

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from mlserver.utils import get_model_uri


class OnnxRuntime(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = await get_model_uri(self.settings)
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {one.name: self._decoded(one) for one in payload.inputs}
        names = [one.name for one in payload.outputs or ()] or [
            one.name for one in self.session.get_outputs()
        ]
        answers = self.session.run(names, feed)
        outputs = [self._encoded(name, answer) for name, answer in zip(names, answers, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    @staticmethod
    def _decoded(one):
        if one.datatype == "BYTES":
            return np.array(StringCodec.decode_input(one), object).reshape(one.shape)
        return NumpyCodec.decode_input(one)

    @staticmethod
    def _encoded(name, answer) -> ResponseOutput:
        if answer.dtype == object:
            return StringCodec.encode_output(name, answer.ravel().tolist())
        return NumpyCodec.encode_output(name, answer)
