"""What reflection tells of `inference.GRPCInferenceService`: our messages, under the names that the protocol has.

This process knows them under names of our own, since another client of the protocol in it may have registered
the protocol's.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
FILE = "inference/grpc_service.proto"


class Published:
    """The process's descriptor pool, with one file more."""

    def __init__(self) -> None:
        self._known: Any = descriptor_pool.Default()
        self._added: Any = descriptor_pool.DescriptorPool()
        self._added.AddSerializedFile(renamed().SerializeToString())

    def FindFileByName(self, name: str) -> Any:
        return (self._added if name == FILE else self._known).FindFileByName(name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        pool = self._added if symbol.startswith(f"{PACKAGE}.") else self._known
        return pool.FindFileContainingSymbol(symbol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name)


def renamed() -> descriptor_pb2.FileDescriptorProto:
    """The file of our messages, in the protocol's package."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    ours, theirs = f".{file.package}.", f".{PACKAGE}."
    file.name, file.package = FILE, PACKAGE
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending += message.nested_type
        for one in message.field:
            if one.type_name:
                one.type_name = one.type_name.replace(ours, theirs)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(ours, theirs)
            method.output_type = method.output_type.replace(ours, theirs)
    return file
