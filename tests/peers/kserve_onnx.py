"""KServe's Python model server with an ONNX graph; it lives in KServe's own environment, without whybox.

    python kserve_onnx.py FOLDER HTTP_PORT GRPC_PORT

FOLDER holds model files NAME.onnx. V1, V2 over HTTP and V2 over gRPC are all served by KServe itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kserve
import numpy as np
import onnxruntime

DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(double)": "FP64",
    "tensor(int64)": "INT64",
    "tensor(string)": "BYTES",
}


class OnnxModel(kserve.Model):
    def __init__(self, path: Path) -> None:
        super().__init__(path.stem)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True

    def get_input_types(self) -> list[dict]:
        return [self._said(one) for one in self.session.get_inputs()]

    def get_output_types(self) -> list[dict]:
        return [self._said(one) for one in self.session.get_outputs()]

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, dict):  # V1: one input, one output
            name = self.session.get_inputs()[0].name
            given = payload["instances"]
            rows = np.array([one[name] if isinstance(one, dict) else one for one in given], np.float32)
            return {"predictions": self.session.run(["scores"], {name: rows})[0].tolist()}
        feed = {one.name: self._decoded(one) for one in payload.inputs}
        names = [one.name for one in self.session.get_outputs()]
        outputs = []
        for name, answer in zip(names, self.session.run(names, feed), strict=True):
            said = next(one for one in self.get_output_types() if one["name"] == name)
            output = kserve.InferOutput(name, list(answer.shape), said["datatype"])
            output.set_data_from_numpy(answer, binary_data=True)
            outputs.append(output)
        return kserve.InferResponse(
            payload.id,
            self.name,
            outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    @staticmethod
    def _decoded(one) -> np.ndarray:
        array = one.as_numpy()
        if one.datatype != "BYTES":
            return array
        texts = [text.decode() if isinstance(text, bytes) else text for text in array.ravel()]
        return np.array(texts, object).reshape(one.shape)

    @staticmethod
    def _said(one) -> dict:
        shape = [length if isinstance(length, int) else -1 for length in one.shape]
        return {"name": one.name, "datatype": DATATYPES[one.type], "shape": shape}


if __name__ == "__main__":
    folder, http_port, grpc_port = sys.argv[1:]
    models = [OnnxModel(path) for path in sorted(Path(folder).glob("*.onnx"))]
    kserve.ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), workers=1).start(models)
