"""`ModelService`: models that callers send, models of the folder, and what they predict."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from whybox.v1 import model_pb2, model_pb2_grpc, tensor_pb2
from whybox_server.api.decode import check_page_size, to_arrays
from whybox_server.api.headers import headers_in
from whybox_server.api.spec import from_spec, to_spec
from whybox_server.api.tensors import CODES, from_array
from whybox_server.core.errors import InvalidRequest, TooLarge, UploadBroken
from whybox_server.core.spec import ModelSpec
from whybox_server.engine.catalogue import Catalogue, Listed
from whybox_server.engine.endpoints import Caller

MAX_CHUNK_BYTES = 1 << 20


class Models(model_pb2_grpc.ModelServiceServicer):
    """max_bytes: largest model that callers may send."""

    def __init__(self, catalogue: Catalogue, max_bytes: int) -> None:
        self._catalogue, self._max_bytes = catalogue, max_bytes

    async def CreateModel(
        self, requests: AsyncIterator[model_pb2.CreateModelRequest], context: Any
    ) -> model_pb2.CreateModelResponse:
        header, data = await self._receive(requests)
        listed = await self._catalogue.create(data, to_spec(header.spec, "header.spec"))
        return model_pb2.CreateModelResponse(model=from_listed(listed))

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Any) -> model_pb2.GetModelResponse:
        return model_pb2.GetModelResponse(model=from_listed(await self._catalogue.get(request.name)))

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> model_pb2.ListModelsResponse:
        size = check_page_size(request)
        # The token is the last name of the page before: pages stay right while models come and go.
        after = [one for one in await self._catalogue.list() if one.name > request.page_token]
        page, rest = after[:size], after[size:]
        token = page[-1].name if rest else ""
        return model_pb2.ListModelsResponse(models=map(from_listed, page), next_page_token=token)

    async def DeleteModel(self, request: model_pb2.DeleteModelRequest, context: Any) -> model_pb2.DeleteModelResponse:
        self._catalogue.delete(request.name)
        return model_pb2.DeleteModelResponse()

    async def Predict(self, request: model_pb2.PredictRequest, context: Any) -> model_pb2.PredictResponse:
        arrays = to_arrays(request.inputs, "inputs")
        if not request.model:
            raise InvalidRequest.of("model", "required")
        caller = Caller(headers=headers_in(context))
        async with self._catalogue.lease(request.model, ModelSpec(), caller) as model:
            outputs = await self._catalogue.predict(model, arrays, context.time_remaining())
        tensors = {name: from_array(array) for name, array in outputs.items()}
        return model_pb2.PredictResponse(outputs=tensor_pb2.Tensors(by_name=tensors))

    async def _receive(
        self, requests: AsyncIterator[model_pb2.CreateModelRequest]
    ) -> tuple[model_pb2.ModelHeader, bytes]:
        """Header and bytes of an upload. Raises UploadBroken, TooLarge, InvalidRequest."""
        header: model_pb2.ModelHeader | None = None
        data = bytearray()
        async for request in requests:
            part = request.WhichOneof("part")
            if header is None:
                if part != "header":
                    raise InvalidRequest.of("header", "the first message must carry the header")
                header = request.header
                self._check_size(header)
                continue
            if part != "chunk" or len(request.chunk) > MAX_CHUNK_BYTES:
                raise InvalidRequest.of("chunk", f"every later message carries a chunk of at most {MAX_CHUNK_BYTES} bytes")
            data += request.chunk
            if len(data) > header.size_bytes:
                raise UploadBroken(f"more bytes came than the announced {header.size_bytes}; nothing was kept")
        if header is None:
            raise UploadBroken("the upload ended before its header; nothing was kept")
        self._check_content(header, data)
        return header, bytes(data)

    def _check_size(self, header: model_pb2.ModelHeader) -> None:
        if header.size_bytes <= 0:
            raise InvalidRequest.of("header.size_bytes", f"must be positive, got {header.size_bytes}")
        if header.size_bytes > self._max_bytes:
            raise TooLarge(
                f"the model has {header.size_bytes} bytes and this server takes {self._max_bytes}; put it into the "
                "server's models folder, or raise --model-mib",
                limit=self._max_bytes,
            )

    def _check_content(self, header: model_pb2.ModelHeader, data: bytearray) -> None:
        if len(data) != header.size_bytes:
            raise UploadBroken(
                f"{len(data)} bytes came of the announced {header.size_bytes}; nothing was kept, send it again"
            )
        if header.sha256 and hashlib.sha256(data).hexdigest() != header.sha256.lower():
            raise UploadBroken("the bytes do not have the announced SHA-256; nothing was kept, send it again")


def from_listed(listed: Listed) -> model_pb2.Model:
    """The message of a model; what is not known before loading is left out."""
    message = model_pb2.Model(
        name=listed.name,
        digest=listed.digest,
        size_bytes=listed.size_bytes,
        version=listed.version,
        problem=listed.problem,
    )
    if listed.model is not None:
        model = listed.model
        message.loaded = True
        message.provider = model.provider
        message.guesses.extend(model.guesses)
        message.spec.CopyFrom(from_spec(model.spec))
        for infos, into in ((model.inputs, message.inputs), (model.outputs, message.outputs)):
            for info in infos:
                dtype = tensor_pb2.DATA_TYPE_STRING if info.dtype.kind == "O" else CODES[info.dtype]
                shape = [-1 if length is None else length for length in info.shape or ()]
                into.add(name=info.name, dtype=dtype, shape=shape)
    return message
