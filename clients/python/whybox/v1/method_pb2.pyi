from whybox.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SegmentationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEGMENTATION_KIND_UNSPECIFIED: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_SLIC: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_QUICKSHIFT: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_FELZENSZWALB: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_GRID: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_ELEMENTS: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_WORDS: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_POSITIONS: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_CHARACTERS: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_WINDOWS: _ClassVar[SegmentationKind]
    SEGMENTATION_KIND_GIVEN: _ClassVar[SegmentationKind]

class BaselineKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BASELINE_KIND_UNSPECIFIED: _ClassVar[BaselineKind]
    BASELINE_KIND_MEAN: _ClassVar[BaselineKind]
    BASELINE_KIND_BLUR: _ClassVar[BaselineKind]
    BASELINE_KIND_CONSTANT: _ClassVar[BaselineKind]
    BASELINE_KIND_NOISE: _ClassVar[BaselineKind]
    BASELINE_KIND_BACKGROUND: _ClassVar[BaselineKind]
    BASELINE_KIND_DELETE: _ClassVar[BaselineKind]
    BASELINE_KIND_MASK: _ClassVar[BaselineKind]
    BASELINE_KIND_PAD: _ClassVar[BaselineKind]
    BASELINE_KIND_GIVEN: _ClassVar[BaselineKind]

class FeatureSelection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_SELECTION_UNSPECIFIED: _ClassVar[FeatureSelection]
    FEATURE_SELECTION_FORWARD: _ClassVar[FeatureSelection]
    FEATURE_SELECTION_HIGHEST_WEIGHTS: _ClassVar[FeatureSelection]
    FEATURE_SELECTION_LASSO_PATH: _ClassVar[FeatureSelection]

class Discretizer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISCRETIZER_UNSPECIFIED: _ClassVar[Discretizer]
    DISCRETIZER_CONTINUOUS: _ClassVar[Discretizer]
    DISCRETIZER_QUARTILE: _ClassVar[Discretizer]
    DISCRETIZER_DECILE: _ClassVar[Discretizer]
SEGMENTATION_KIND_UNSPECIFIED: SegmentationKind
SEGMENTATION_KIND_SLIC: SegmentationKind
SEGMENTATION_KIND_QUICKSHIFT: SegmentationKind
SEGMENTATION_KIND_FELZENSZWALB: SegmentationKind
SEGMENTATION_KIND_GRID: SegmentationKind
SEGMENTATION_KIND_ELEMENTS: SegmentationKind
SEGMENTATION_KIND_WORDS: SegmentationKind
SEGMENTATION_KIND_POSITIONS: SegmentationKind
SEGMENTATION_KIND_CHARACTERS: SegmentationKind
SEGMENTATION_KIND_WINDOWS: SegmentationKind
SEGMENTATION_KIND_GIVEN: SegmentationKind
BASELINE_KIND_UNSPECIFIED: BaselineKind
BASELINE_KIND_MEAN: BaselineKind
BASELINE_KIND_BLUR: BaselineKind
BASELINE_KIND_CONSTANT: BaselineKind
BASELINE_KIND_NOISE: BaselineKind
BASELINE_KIND_BACKGROUND: BaselineKind
BASELINE_KIND_DELETE: BaselineKind
BASELINE_KIND_MASK: BaselineKind
BASELINE_KIND_PAD: BaselineKind
BASELINE_KIND_GIVEN: BaselineKind
FEATURE_SELECTION_UNSPECIFIED: FeatureSelection
FEATURE_SELECTION_FORWARD: FeatureSelection
FEATURE_SELECTION_HIGHEST_WEIGHTS: FeatureSelection
FEATURE_SELECTION_LASSO_PATH: FeatureSelection
DISCRETIZER_UNSPECIFIED: Discretizer
DISCRETIZER_CONTINUOUS: Discretizer
DISCRETIZER_QUARTILE: Discretizer
DISCRETIZER_DECILE: Discretizer

class Segmentation(_message.Message):
    __slots__ = ("kind", "count", "all_channels", "given")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ALL_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    kind: SegmentationKind
    count: int
    all_channels: bool
    given: _tensor_pb2.Tensor
    def __init__(self, kind: _Optional[_Union[SegmentationKind, str]] = ..., count: _Optional[int] = ..., all_channels: _Optional[bool] = ..., given: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Baseline(_message.Message):
    __slots__ = ("kind", "value", "sigma", "given")
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    kind: BaselineKind
    value: float
    sigma: float
    given: _tensor_pb2.Tensor
    def __init__(self, kind: _Optional[_Union[BaselineKind, str]] = ..., value: _Optional[float] = ..., sigma: _Optional[float] = ..., given: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class LimeParams(_message.Message):
    __slots__ = ("num_samples", "num_features", "feature_selection", "kernel_width", "ridge", "discretizer", "sample_around_instance", "paired", "tolerance", "segmentation", "baseline")
    NUM_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NUM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SELECTION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_WIDTH_FIELD_NUMBER: _ClassVar[int]
    RIDGE_FIELD_NUMBER: _ClassVar[int]
    DISCRETIZER_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_AROUND_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PAIRED_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    num_samples: int
    num_features: int
    feature_selection: FeatureSelection
    kernel_width: float
    ridge: float
    discretizer: Discretizer
    sample_around_instance: bool
    paired: bool
    tolerance: float
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, num_samples: _Optional[int] = ..., num_features: _Optional[int] = ..., feature_selection: _Optional[_Union[FeatureSelection, str]] = ..., kernel_width: _Optional[float] = ..., ridge: _Optional[float] = ..., discretizer: _Optional[_Union[Discretizer, str]] = ..., sample_around_instance: _Optional[bool] = ..., paired: _Optional[bool] = ..., tolerance: _Optional[float] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class OcclusionParams(_message.Message):
    __slots__ = ("window", "stride", "segmentation", "baseline")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    window: _containers.RepeatedScalarFieldContainer[int]
    stride: _containers.RepeatedScalarFieldContainer[int]
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, window: _Optional[_Iterable[int]] = ..., stride: _Optional[_Iterable[int]] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...
