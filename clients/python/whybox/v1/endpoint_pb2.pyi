from google.api import annotations_pb2 as _annotations_pb2
from whybox.v1 import spec_pb2 as _spec_pb2
from whybox.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EndpointProtocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDPOINT_PROTOCOL_UNSPECIFIED: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_AUTO: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_OIP_GRPC: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_OIP_REST: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_KSERVE_V1: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_TFSERVING_REST: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_TFSERVING_GRPC: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_TORCHSERVE: _ClassVar[EndpointProtocol]
    ENDPOINT_PROTOCOL_JSON: _ClassVar[EndpointProtocol]
ENDPOINT_PROTOCOL_UNSPECIFIED: EndpointProtocol
ENDPOINT_PROTOCOL_AUTO: EndpointProtocol
ENDPOINT_PROTOCOL_OIP_GRPC: EndpointProtocol
ENDPOINT_PROTOCOL_OIP_REST: EndpointProtocol
ENDPOINT_PROTOCOL_KSERVE_V1: EndpointProtocol
ENDPOINT_PROTOCOL_TFSERVING_REST: EndpointProtocol
ENDPOINT_PROTOCOL_TFSERVING_GRPC: EndpointProtocol
ENDPOINT_PROTOCOL_TORCHSERVE: EndpointProtocol
ENDPOINT_PROTOCOL_JSON: EndpointProtocol

class Endpoint(_message.Message):
    __slots__ = ("name", "url", "protocol", "model", "version", "revision", "output", "inputs", "spec", "headers", "forward", "credential", "limits", "price", "json", "gradient_model", "tls")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_MODEL_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    name: str
    url: str
    protocol: EndpointProtocol
    model: str
    version: str
    revision: str
    output: str
    inputs: _containers.RepeatedCompositeFieldContainer[EndpointInput]
    spec: _spec_pb2.ModelSpec
    headers: _containers.ScalarMap[str, str]
    forward: _containers.RepeatedScalarFieldContainer[str]
    credential: str
    limits: EndpointLimits
    price: EndpointPrice
    json: JsonMapping
    gradient_model: str
    tls: EndpointTls
    def __init__(self, name: _Optional[str] = ..., url: _Optional[str] = ..., protocol: _Optional[_Union[EndpointProtocol, str]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., revision: _Optional[str] = ..., output: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[EndpointInput, _Mapping]]] = ..., spec: _Optional[_Union[_spec_pb2.ModelSpec, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ..., forward: _Optional[_Iterable[str]] = ..., credential: _Optional[str] = ..., limits: _Optional[_Union[EndpointLimits, _Mapping]] = ..., price: _Optional[_Union[EndpointPrice, _Mapping]] = ..., json: _Optional[_Union[JsonMapping, _Mapping]] = ..., gradient_model: _Optional[str] = ..., tls: _Optional[_Union[EndpointTls, _Mapping]] = ...) -> None: ...

class EndpointInput(_message.Message):
    __slots__ = ("name", "dtype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: _tensor_pb2.DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[_Union[_tensor_pb2.DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class EndpointLimits(_message.Message):
    __slots__ = ("requests_per_second", "concurrency", "rows_per_call", "bytes_per_call", "reply_bytes", "timeout_s", "calls_per_day", "rows_per_request")
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_CALL_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_CALL_FIELD_NUMBER: _ClassVar[int]
    REPLY_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    CALLS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    requests_per_second: float
    concurrency: int
    rows_per_call: int
    bytes_per_call: int
    reply_bytes: int
    timeout_s: float
    calls_per_day: int
    rows_per_request: int
    def __init__(self, requests_per_second: _Optional[float] = ..., concurrency: _Optional[int] = ..., rows_per_call: _Optional[int] = ..., bytes_per_call: _Optional[int] = ..., reply_bytes: _Optional[int] = ..., timeout_s: _Optional[float] = ..., calls_per_day: _Optional[int] = ..., rows_per_request: _Optional[int] = ...) -> None: ...

class EndpointPrice(_message.Message):
    __slots__ = ("per_call", "per_row", "currency")
    PER_CALL_FIELD_NUMBER: _ClassVar[int]
    PER_ROW_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    per_call: float
    per_row: float
    currency: str
    def __init__(self, per_call: _Optional[float] = ..., per_row: _Optional[float] = ..., currency: _Optional[str] = ...) -> None: ...

class JsonMapping(_message.Message):
    __slots__ = ("request", "scores", "labels", "one_row_per_call", "method")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ONE_ROW_PER_CALL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    request: str
    scores: str
    labels: str
    one_row_per_call: bool
    method: str
    def __init__(self, request: _Optional[str] = ..., scores: _Optional[str] = ..., labels: _Optional[str] = ..., one_row_per_call: _Optional[bool] = ..., method: _Optional[str] = ...) -> None: ...

class EndpointTls(_message.Message):
    __slots__ = ("ca", "cert", "key")
    CA_FIELD_NUMBER: _ClassVar[int]
    CERT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ca: str
    cert: str
    key: str
    def __init__(self, ca: _Optional[str] = ..., cert: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class CreateEndpointRequest(_message.Message):
    __slots__ = ("endpoint_id", "endpoint")
    ENDPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    endpoint_id: str
    endpoint: Endpoint
    def __init__(self, endpoint_id: _Optional[str] = ..., endpoint: _Optional[_Union[Endpoint, _Mapping]] = ...) -> None: ...

class CreateEndpointResponse(_message.Message):
    __slots__ = ("endpoint",)
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    endpoint: Endpoint
    def __init__(self, endpoint: _Optional[_Union[Endpoint, _Mapping]] = ...) -> None: ...

class GetEndpointRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetEndpointResponse(_message.Message):
    __slots__ = ("endpoint",)
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    endpoint: Endpoint
    def __init__(self, endpoint: _Optional[_Union[Endpoint, _Mapping]] = ...) -> None: ...

class ListEndpointsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEndpointsResponse(_message.Message):
    __slots__ = ("endpoints", "next_page_token")
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    endpoints: _containers.RepeatedCompositeFieldContainer[Endpoint]
    next_page_token: str
    def __init__(self, endpoints: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteEndpointRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteEndpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProbeEndpointRequest(_message.Message):
    __slots__ = ("name", "endpoint", "row")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: Endpoint
    row: _tensor_pb2.Tensors
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[_Union[Endpoint, _Mapping]] = ..., row: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ...) -> None: ...

class ProbeEndpointResponse(_message.Message):
    __slots__ = ("protocol", "version", "inputs", "spec", "guesses", "determinism", "deterministic", "calls", "notes")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    GUESSES_FIELD_NUMBER: _ClassVar[int]
    DETERMINISM_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    protocol: EndpointProtocol
    version: str
    inputs: _containers.RepeatedCompositeFieldContainer[EndpointInput]
    spec: _spec_pb2.ModelSpec
    guesses: _containers.RepeatedScalarFieldContainer[str]
    determinism: str
    deterministic: bool
    calls: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol: _Optional[_Union[EndpointProtocol, str]] = ..., version: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[EndpointInput, _Mapping]]] = ..., spec: _Optional[_Union[_spec_pb2.ModelSpec, _Mapping]] = ..., guesses: _Optional[_Iterable[str]] = ..., determinism: _Optional[str] = ..., deterministic: _Optional[bool] = ..., calls: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...
