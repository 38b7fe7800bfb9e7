from whybox.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Modality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODALITY_UNSPECIFIED: _ClassVar[Modality]
    MODALITY_TABULAR: _ClassVar[Modality]
    MODALITY_IMAGE: _ClassVar[Modality]
    MODALITY_TEXT: _ClassVar[Modality]
    MODALITY_TIME_SERIES: _ClassVar[Modality]
    MODALITY_TENSOR: _ClassVar[Modality]

class ScoreKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCORE_KIND_UNSPECIFIED: _ClassVar[ScoreKind]
    SCORE_KIND_LOGIT: _ClassVar[ScoreKind]
    SCORE_KIND_PROBABILITY: _ClassVar[ScoreKind]
    SCORE_KIND_VALUE: _ClassVar[ScoreKind]

class BatchAxis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BATCH_AXIS_UNSPECIFIED: _ClassVar[BatchAxis]
    BATCH_AXIS_DYNAMIC: _ClassVar[BatchAxis]
    BATCH_AXIS_FIXED: _ClassVar[BatchAxis]
    BATCH_AXIS_NONE: _ClassVar[BatchAxis]
MODALITY_UNSPECIFIED: Modality
MODALITY_TABULAR: Modality
MODALITY_IMAGE: Modality
MODALITY_TEXT: Modality
MODALITY_TIME_SERIES: Modality
MODALITY_TENSOR: Modality
SCORE_KIND_UNSPECIFIED: ScoreKind
SCORE_KIND_LOGIT: ScoreKind
SCORE_KIND_PROBABILITY: ScoreKind
SCORE_KIND_VALUE: ScoreKind
BATCH_AXIS_UNSPECIFIED: BatchAxis
BATCH_AXIS_DYNAMIC: BatchAxis
BATCH_AXIS_FIXED: BatchAxis
BATCH_AXIS_NONE: BatchAxis

class ModelSpec(_message.Message):
    __slots__ = ("modality", "labels", "output", "score", "batch", "gradient", "tabular", "image", "text", "time_series")
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    TABULAR_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_SERIES_FIELD_NUMBER: _ClassVar[int]
    modality: Modality
    labels: _containers.RepeatedScalarFieldContainer[str]
    output: str
    score: ScoreKind
    batch: BatchAxis
    gradient: GradientOutput
    tabular: TabularSpec
    image: ImageSpec
    text: TextSpec
    time_series: TimeSeriesSpec
    def __init__(self, modality: _Optional[_Union[Modality, str]] = ..., labels: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ..., score: _Optional[_Union[ScoreKind, str]] = ..., batch: _Optional[_Union[BatchAxis, str]] = ..., gradient: _Optional[_Union[GradientOutput, _Mapping]] = ..., tabular: _Optional[_Union[TabularSpec, _Mapping]] = ..., image: _Optional[_Union[ImageSpec, _Mapping]] = ..., text: _Optional[_Union[TextSpec, _Mapping]] = ..., time_series: _Optional[_Union[TimeSeriesSpec, _Mapping]] = ...) -> None: ...

class GradientOutput(_message.Message):
    __slots__ = ("output", "seed", "input")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    output: str
    seed: str
    input: str
    def __init__(self, output: _Optional[str] = ..., seed: _Optional[str] = ..., input: _Optional[str] = ...) -> None: ...

class TabularSpec(_message.Message):
    __slots__ = ("feature_names", "background", "categories")
    class CategoriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: Categories
        def __init__(self, key: _Optional[int] = ..., value: _Optional[_Union[Categories, _Mapping]] = ...) -> None: ...
    FEATURE_NAMES_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    feature_names: _containers.RepeatedScalarFieldContainer[str]
    background: _tensor_pb2.Tensor
    categories: _containers.MessageMap[int, Categories]
    def __init__(self, feature_names: _Optional[_Iterable[str]] = ..., background: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., categories: _Optional[_Mapping[int, Categories]] = ...) -> None: ...

class Categories(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ImageSpec(_message.Message):
    __slots__ = ("layout", "black", "white", "mean", "std", "background")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    BLACK_FIELD_NUMBER: _ClassVar[int]
    WHITE_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    layout: str
    black: float
    white: float
    mean: _containers.RepeatedScalarFieldContainer[float]
    std: _containers.RepeatedScalarFieldContainer[float]
    background: _tensor_pb2.Tensor
    def __init__(self, layout: _Optional[str] = ..., black: _Optional[float] = ..., white: _Optional[float] = ..., mean: _Optional[_Iterable[float]] = ..., std: _Optional[_Iterable[float]] = ..., background: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class TextSpec(_message.Message):
    __slots__ = ("mask_token", "mask_id", "pad_id")
    MASK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MASK_ID_FIELD_NUMBER: _ClassVar[int]
    PAD_ID_FIELD_NUMBER: _ClassVar[int]
    mask_token: str
    mask_id: int
    pad_id: int
    def __init__(self, mask_token: _Optional[str] = ..., mask_id: _Optional[int] = ..., pad_id: _Optional[int] = ...) -> None: ...

class TimeSeriesSpec(_message.Message):
    __slots__ = ("layout", "channel_names", "background")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NAMES_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    layout: str
    channel_names: _containers.RepeatedScalarFieldContainer[str]
    background: _tensor_pb2.Tensor
    def __init__(self, layout: _Optional[str] = ..., channel_names: _Optional[_Iterable[str]] = ..., background: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
