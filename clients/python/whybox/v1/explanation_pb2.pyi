from whybox.v1 import spec_pb2 as _spec_pb2
from whybox.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreSpace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCORE_SPACE_UNSPECIFIED: _ClassVar[ScoreSpace]
    SCORE_SPACE_LOGIT: _ClassVar[ScoreSpace]
    SCORE_SPACE_PROBABILITY: _ClassVar[ScoreSpace]
    SCORE_SPACE_VALUE: _ClassVar[ScoreSpace]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_FAST: _ClassVar[Mode]
    MODE_REPRODUCIBLE: _ClassVar[Mode]

class RenderFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RENDER_FORMAT_UNSPECIFIED: _ClassVar[RenderFormat]
    RENDER_FORMAT_TEXT: _ClassVar[RenderFormat]
    RENDER_FORMAT_PNG: _ClassVar[RenderFormat]
    RENDER_FORMAT_HTML: _ClassVar[RenderFormat]
SCORE_SPACE_UNSPECIFIED: ScoreSpace
SCORE_SPACE_LOGIT: ScoreSpace
SCORE_SPACE_PROBABILITY: ScoreSpace
SCORE_SPACE_VALUE: ScoreSpace
MODE_UNSPECIFIED: Mode
MODE_FAST: Mode
MODE_REPRODUCIBLE: Mode
RENDER_FORMAT_UNSPECIFIED: RenderFormat
RENDER_FORMAT_TEXT: RenderFormat
RENDER_FORMAT_PNG: RenderFormat
RENDER_FORMAT_HTML: RenderFormat

class Explanation(_message.Message):
    __slots__ = ("targets", "attribution", "rule", "contrast", "regions", "mask", "subject", "complete", "warnings", "usage", "provenance", "renderings")
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    RENDERINGS_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    attribution: Attribution
    rule: Rule
    contrast: Contrast
    regions: Regions
    mask: Mask
    subject: Subject
    complete: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    usage: Usage
    provenance: Provenance
    renderings: _containers.RepeatedCompositeFieldContainer[Rendering]
    def __init__(self, targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., attribution: _Optional[_Union[Attribution, _Mapping]] = ..., rule: _Optional[_Union[Rule, _Mapping]] = ..., contrast: _Optional[_Union[Contrast, _Mapping]] = ..., regions: _Optional[_Union[Regions, _Mapping]] = ..., mask: _Optional[_Union[Mask, _Mapping]] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., complete: _Optional[bool] = ..., warnings: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., renderings: _Optional[_Iterable[_Union[Rendering, _Mapping]]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("index", "label", "score", "probability", "space")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    score: float
    probability: float
    space: ScoreSpace
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., score: _Optional[float] = ..., probability: _Optional[float] = ..., space: _Optional[_Union[ScoreSpace, str]] = ...) -> None: ...

class Attribution(_message.Message):
    __slots__ = ("values", "segments", "names", "base_values", "standard_errors", "quality", "additive", "instance_shape", "input", "flip_set", "unit")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    BASE_VALUES_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERRORS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    ADDITIVE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_SHAPE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    FLIP_SET_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensor
    segments: _tensor_pb2.Tensors
    names: _containers.RepeatedScalarFieldContainer[str]
    base_values: _tensor_pb2.Tensor
    standard_errors: _tensor_pb2.Tensor
    quality: _containers.RepeatedCompositeFieldContainer[Quality]
    additive: bool
    instance_shape: _containers.RepeatedScalarFieldContainer[int]
    input: str
    flip_set: FlipSet
    unit: str
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., segments: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ..., names: _Optional[_Iterable[str]] = ..., base_values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., standard_errors: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., quality: _Optional[_Iterable[_Union[Quality, _Mapping]]] = ..., additive: _Optional[bool] = ..., instance_shape: _Optional[_Iterable[int]] = ..., input: _Optional[str] = ..., flip_set: _Optional[_Union[FlipSet, _Mapping]] = ..., unit: _Optional[str] = ...) -> None: ...

class Units(_message.Message):
    __slots__ = ("names", "segments", "instance_shape", "input")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_SHAPE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    segments: _tensor_pb2.Tensors
    instance_shape: _containers.RepeatedScalarFieldContainer[int]
    input: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., segments: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ..., instance_shape: _Optional[_Iterable[int]] = ..., input: _Optional[str] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("predicates", "precision", "lower_bound", "confidence", "coverage", "samples", "threshold", "threshold_met", "certificate", "examples", "units")
    PREDICATES_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_MET_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    predicates: _containers.RepeatedCompositeFieldContainer[Predicate]
    precision: float
    lower_bound: float
    confidence: float
    coverage: float
    samples: int
    threshold: float
    threshold_met: bool
    certificate: str
    examples: _containers.RepeatedCompositeFieldContainer[Example]
    units: Units
    def __init__(self, predicates: _Optional[_Iterable[_Union[Predicate, _Mapping]]] = ..., precision: _Optional[float] = ..., lower_bound: _Optional[float] = ..., confidence: _Optional[float] = ..., coverage: _Optional[float] = ..., samples: _Optional[int] = ..., threshold: _Optional[float] = ..., threshold_met: _Optional[bool] = ..., certificate: _Optional[str] = ..., examples: _Optional[_Iterable[_Union[Example, _Mapping]]] = ..., units: _Optional[_Union[Units, _Mapping]] = ...) -> None: ...

class Predicate(_message.Message):
    __slots__ = ("text", "segment", "precision", "coverage")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    segment: int
    precision: float
    coverage: float
    def __init__(self, text: _Optional[str] = ..., segment: _Optional[int] = ..., precision: _Optional[float] = ..., coverage: _Optional[float] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("text", "agrees")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AGREES_FIELD_NUMBER: _ClassVar[int]
    text: str
    agrees: bool
    def __init__(self, text: _Optional[str] = ..., agrees: _Optional[bool] = ...) -> None: ...

class Contrast(_message.Message):
    __slots__ = ("pertinent_positive", "pertinent_negative", "positive_reason", "negative_reason", "units")
    PERTINENT_POSITIVE_FIELD_NUMBER: _ClassVar[int]
    PERTINENT_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REASON_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_REASON_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    pertinent_positive: Counterpart
    pertinent_negative: Counterpart
    positive_reason: str
    negative_reason: str
    units: Units
    def __init__(self, pertinent_positive: _Optional[_Union[Counterpart, _Mapping]] = ..., pertinent_negative: _Optional[_Union[Counterpart, _Mapping]] = ..., positive_reason: _Optional[str] = ..., negative_reason: _Optional[str] = ..., units: _Optional[_Union[Units, _Mapping]] = ...) -> None: ...

class Counterpart(_message.Message):
    __slots__ = ("values", "target", "segments", "l1", "l2", "subject")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    L1_FIELD_NUMBER: _ClassVar[int]
    L2_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensors
    target: Target
    segments: _containers.RepeatedScalarFieldContainer[int]
    l1: float
    l2: float
    subject: Subject
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., segments: _Optional[_Iterable[int]] = ..., l1: _Optional[float] = ..., l2: _Optional[float] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ...) -> None: ...

class Regions(_message.Message):
    __slots__ = ("segments", "scores", "empty_score", "guarantee", "units")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    EMPTY_SCORE_FIELD_NUMBER: _ClassVar[int]
    GUARANTEE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedScalarFieldContainer[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    empty_score: float
    guarantee: str
    units: Units
    def __init__(self, segments: _Optional[_Iterable[int]] = ..., scores: _Optional[_Iterable[float]] = ..., empty_score: _Optional[float] = ..., guarantee: _Optional[str] = ..., units: _Optional[_Union[Units, _Mapping]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("values", "game", "masked_scores", "hidden_scores", "units")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    GAME_FIELD_NUMBER: _ClassVar[int]
    MASKED_SCORES_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensor
    game: str
    masked_scores: _containers.RepeatedScalarFieldContainer[float]
    hidden_scores: _containers.RepeatedScalarFieldContainer[float]
    units: Units
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., game: _Optional[str] = ..., masked_scores: _Optional[_Iterable[float]] = ..., hidden_scores: _Optional[_Iterable[float]] = ..., units: _Optional[_Union[Units, _Mapping]] = ...) -> None: ...

class FlipSet(_message.Message):
    __slots__ = ("segments", "flipped", "after")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    FLIPPED_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedScalarFieldContainer[int]
    flipped: bool
    after: Target
    def __init__(self, segments: _Optional[_Iterable[int]] = ..., flipped: _Optional[bool] = ..., after: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class Quality(_message.Message):
    __slots__ = ("measures",)
    class MeasuresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    measures: _containers.ScalarMap[str, float]
    def __init__(self, measures: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Subject(_message.Message):
    __slots__ = ("modality", "picture", "text", "table", "series", "tensor")
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    modality: _spec_pb2.Modality
    picture: _tensor_pb2.Tensor
    text: TextView
    table: TableView
    series: SeriesView
    tensor: _tensor_pb2.Tensor
    def __init__(self, modality: _Optional[_Union[_spec_pb2.Modality, str]] = ..., picture: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., text: _Optional[_Union[TextView, _Mapping]] = ..., table: _Optional[_Union[TableView, _Mapping]] = ..., series: _Optional[_Union[SeriesView, _Mapping]] = ..., tensor: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class TextView(_message.Message):
    __slots__ = ("pieces", "segments")
    PIECES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    pieces: _containers.RepeatedScalarFieldContainer[str]
    segments: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pieces: _Optional[_Iterable[str]] = ..., segments: _Optional[_Iterable[int]] = ...) -> None: ...

class TableView(_message.Message):
    __slots__ = ("names", "values")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class SeriesView(_message.Message):
    __slots__ = ("values", "channels")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensor
    channels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., channels: _Optional[_Iterable[str]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("rows_planned", "rows_asked", "rows_unique", "rows_cached", "rows_sent", "batches", "mean_fill", "queued_ms", "model_ms", "method_ms", "wall_ms")
    ROWS_PLANNED_FIELD_NUMBER: _ClassVar[int]
    ROWS_ASKED_FIELD_NUMBER: _ClassVar[int]
    ROWS_UNIQUE_FIELD_NUMBER: _ClassVar[int]
    ROWS_CACHED_FIELD_NUMBER: _ClassVar[int]
    ROWS_SENT_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    MEAN_FILL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_MS_FIELD_NUMBER: _ClassVar[int]
    METHOD_MS_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    rows_planned: int
    rows_asked: int
    rows_unique: int
    rows_cached: int
    rows_sent: int
    batches: int
    mean_fill: float
    queued_ms: float
    model_ms: float
    method_ms: float
    wall_ms: float
    def __init__(self, rows_planned: _Optional[int] = ..., rows_asked: _Optional[int] = ..., rows_unique: _Optional[int] = ..., rows_cached: _Optional[int] = ..., rows_sent: _Optional[int] = ..., batches: _Optional[int] = ..., mean_fill: _Optional[float] = ..., queued_ms: _Optional[float] = ..., model_ms: _Optional[float] = ..., method_ms: _Optional[float] = ..., wall_ms: _Optional[float] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("model_digest", "model", "method", "method_version", "seed", "mode", "baseline", "segmentation", "libraries", "provider", "guesses", "request_id", "nodes", "protocol", "model_version", "determinism")
    class LibrariesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class NodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    METHOD_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    GUESSES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DETERMINISM_FIELD_NUMBER: _ClassVar[int]
    model_digest: str
    model: str
    method: str
    method_version: str
    seed: int
    mode: Mode
    baseline: str
    segmentation: str
    libraries: _containers.ScalarMap[str, str]
    provider: str
    guesses: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    nodes: _containers.ScalarMap[str, int]
    protocol: str
    model_version: str
    determinism: str
    def __init__(self, model_digest: _Optional[str] = ..., model: _Optional[str] = ..., method: _Optional[str] = ..., method_version: _Optional[str] = ..., seed: _Optional[int] = ..., mode: _Optional[_Union[Mode, str]] = ..., baseline: _Optional[str] = ..., segmentation: _Optional[str] = ..., libraries: _Optional[_Mapping[str, str]] = ..., provider: _Optional[str] = ..., guesses: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., nodes: _Optional[_Mapping[str, int]] = ..., protocol: _Optional[str] = ..., model_version: _Optional[str] = ..., determinism: _Optional[str] = ...) -> None: ...

class Rendering(_message.Message):
    __slots__ = ("format", "content")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    format: RenderFormat
    content: bytes
    def __init__(self, format: _Optional[_Union[RenderFormat, str]] = ..., content: _Optional[bytes] = ...) -> None: ...
