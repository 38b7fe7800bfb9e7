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

class Strategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRATEGY_UNSPECIFIED: _ClassVar[Strategy]
    STRATEGY_STREAK: _ClassVar[Strategy]
    STRATEGY_GREEDY: _ClassVar[Strategy]
    STRATEGY_LAZY_GREEDY: _ClassVar[Strategy]

class Sampler(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLER_UNSPECIFIED: _ClassVar[Sampler]
    SAMPLER_MARGINAL: _ClassVar[Sampler]
    SAMPLER_CONDITIONAL: _ClassVar[Sampler]

class Contrasts(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTRASTS_UNSPECIFIED: _ClassVar[Contrasts]
    CONTRASTS_BOTH: _ClassVar[Contrasts]
    CONTRASTS_PERTINENT_POSITIVE: _ClassVar[Contrasts]
    CONTRASTS_PERTINENT_NEGATIVE: _ClassVar[Contrasts]

class GradientEstimate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRADIENT_ESTIMATE_UNSPECIFIED: _ClassVar[GradientEstimate]
    GRADIENT_ESTIMATE_RANDOM_DIRECTIONS: _ClassVar[GradientEstimate]
    GRADIENT_ESTIMATE_FINITE_DIFFERENCES: _ClassVar[GradientEstimate]
    GRADIENT_ESTIMATE_SEARCH: _ClassVar[GradientEstimate]

class FlipSearch(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLIP_SEARCH_UNSPECIFIED: _ClassVar[FlipSearch]
    FLIP_SEARCH_GREEDY: _ClassVar[FlipSearch]
    FLIP_SEARCH_BEAM: _ClassVar[FlipSearch]
    FLIP_SEARCH_NONE: _ClassVar[FlipSearch]

class Game(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAME_UNSPECIFIED: _ClassVar[Game]
    GAME_DELETION: _ClassVar[Game]
    GAME_PRESERVATION: _ClassVar[Game]
    GAME_AREA: _ClassVar[Game]

class LrpComposite(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LRP_COMPOSITE_UNSPECIFIED: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EPSILON: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EPSILON_PLUS: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EPSILON_PLUS_FLAT: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EPSILON_ALPHA2_BETA1: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EPSILON_ALPHA2_BETA1_FLAT: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EPSILON_GAMMA_BOX: _ClassVar[LrpComposite]
    LRP_COMPOSITE_ALPHA1_BETA0: _ClassVar[LrpComposite]
    LRP_COMPOSITE_EXCITATION_BACKPROP: _ClassVar[LrpComposite]

class DeepliftRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEEPLIFT_RULE_UNSPECIFIED: _ClassVar[DeepliftRule]
    DEEPLIFT_RULE_RESCALE: _ClassVar[DeepliftRule]
    DEEPLIFT_RULE_REVEAL_CANCEL: _ClassVar[DeepliftRule]
    DEEPLIFT_RULE_GENOMICS: _ClassVar[DeepliftRule]

class Smoothing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SMOOTHING_UNSPECIFIED: _ClassVar[Smoothing]
    SMOOTHING_MEAN: _ClassVar[Smoothing]
    SMOOTHING_SQUARED: _ClassVar[Smoothing]
    SMOOTHING_VARIANCE: _ClassVar[Smoothing]

class PathRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_RULE_UNSPECIFIED: _ClassVar[PathRule]
    PATH_RULE_GAUSS_LEGENDRE: _ClassVar[PathRule]
    PATH_RULE_RIEMANN_LEFT: _ClassVar[PathRule]
    PATH_RULE_RIEMANN_MIDDLE: _ClassVar[PathRule]
    PATH_RULE_RIEMANN_RIGHT: _ClassVar[PathRule]
    PATH_RULE_TRAPEZOID: _ClassVar[PathRule]
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
STRATEGY_UNSPECIFIED: Strategy
STRATEGY_STREAK: Strategy
STRATEGY_GREEDY: Strategy
STRATEGY_LAZY_GREEDY: Strategy
SAMPLER_UNSPECIFIED: Sampler
SAMPLER_MARGINAL: Sampler
SAMPLER_CONDITIONAL: Sampler
CONTRASTS_UNSPECIFIED: Contrasts
CONTRASTS_BOTH: Contrasts
CONTRASTS_PERTINENT_POSITIVE: Contrasts
CONTRASTS_PERTINENT_NEGATIVE: Contrasts
GRADIENT_ESTIMATE_UNSPECIFIED: GradientEstimate
GRADIENT_ESTIMATE_RANDOM_DIRECTIONS: GradientEstimate
GRADIENT_ESTIMATE_FINITE_DIFFERENCES: GradientEstimate
GRADIENT_ESTIMATE_SEARCH: GradientEstimate
FLIP_SEARCH_UNSPECIFIED: FlipSearch
FLIP_SEARCH_GREEDY: FlipSearch
FLIP_SEARCH_BEAM: FlipSearch
FLIP_SEARCH_NONE: FlipSearch
GAME_UNSPECIFIED: Game
GAME_DELETION: Game
GAME_PRESERVATION: Game
GAME_AREA: Game
LRP_COMPOSITE_UNSPECIFIED: LrpComposite
LRP_COMPOSITE_EPSILON: LrpComposite
LRP_COMPOSITE_EPSILON_PLUS: LrpComposite
LRP_COMPOSITE_EPSILON_PLUS_FLAT: LrpComposite
LRP_COMPOSITE_EPSILON_ALPHA2_BETA1: LrpComposite
LRP_COMPOSITE_EPSILON_ALPHA2_BETA1_FLAT: LrpComposite
LRP_COMPOSITE_EPSILON_GAMMA_BOX: LrpComposite
LRP_COMPOSITE_ALPHA1_BETA0: LrpComposite
LRP_COMPOSITE_EXCITATION_BACKPROP: LrpComposite
DEEPLIFT_RULE_UNSPECIFIED: DeepliftRule
DEEPLIFT_RULE_RESCALE: DeepliftRule
DEEPLIFT_RULE_REVEAL_CANCEL: DeepliftRule
DEEPLIFT_RULE_GENOMICS: DeepliftRule
SMOOTHING_UNSPECIFIED: Smoothing
SMOOTHING_MEAN: Smoothing
SMOOTHING_SQUARED: Smoothing
SMOOTHING_VARIANCE: Smoothing
PATH_RULE_UNSPECIFIED: PathRule
PATH_RULE_GAUSS_LEGENDRE: PathRule
PATH_RULE_RIEMANN_LEFT: PathRule
PATH_RULE_RIEMANN_MIDDLE: PathRule
PATH_RULE_RIEMANN_RIGHT: PathRule
PATH_RULE_TRAPEZOID: PathRule

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

class AnchorsParams(_message.Message):
    __slots__ = ("threshold", "delta", "tau", "strict", "beam_size", "batch_size", "max_predicates", "discretizer", "stop_on_first", "segmentation", "baseline")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    TAU_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    BEAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    DISCRETIZER_FIELD_NUMBER: _ClassVar[int]
    STOP_ON_FIRST_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    delta: float
    tau: float
    strict: bool
    beam_size: int
    batch_size: int
    max_predicates: int
    discretizer: Discretizer
    stop_on_first: bool
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, threshold: _Optional[float] = ..., delta: _Optional[float] = ..., tau: _Optional[float] = ..., strict: _Optional[bool] = ..., beam_size: _Optional[int] = ..., batch_size: _Optional[int] = ..., max_predicates: _Optional[int] = ..., discretizer: _Optional[_Union[Discretizer, str]] = ..., stop_on_first: _Optional[bool] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class StreakParams(_message.Message):
    __slots__ = ("k", "epsilon", "strategy", "fill", "segmentation", "baseline")
    K_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    k: int
    epsilon: float
    strategy: Strategy
    fill: bool
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, k: _Optional[int] = ..., epsilon: _Optional[float] = ..., strategy: _Optional[_Union[Strategy, str]] = ..., fill: _Optional[bool] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class PredictionDifferenceParams(_message.Message):
    __slots__ = ("sampler", "patch", "surroundings", "num_samples", "stride", "training_count")
    SAMPLER_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    SURROUNDINGS_FIELD_NUMBER: _ClassVar[int]
    NUM_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    TRAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    sampler: Sampler
    patch: int
    surroundings: int
    num_samples: int
    stride: int
    training_count: int
    def __init__(self, sampler: _Optional[_Union[Sampler, str]] = ..., patch: _Optional[int] = ..., surroundings: _Optional[int] = ..., num_samples: _Optional[int] = ..., stride: _Optional[int] = ..., training_count: _Optional[int] = ...) -> None: ...

class CemParams(_message.Message):
    __slots__ = ("find", "kappa", "beta", "gamma", "c_init", "c_steps", "max_iterations", "learning_rate", "gradient", "directions", "no_info", "feature_range", "autoencoder", "segmentation", "baseline")
    FIND_FIELD_NUMBER: _ClassVar[int]
    KAPPA_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    C_INIT_FIELD_NUMBER: _ClassVar[int]
    C_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    NO_INFO_FIELD_NUMBER: _ClassVar[int]
    FEATURE_RANGE_FIELD_NUMBER: _ClassVar[int]
    AUTOENCODER_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    find: Contrasts
    kappa: float
    beta: float
    gamma: float
    c_init: float
    c_steps: int
    max_iterations: int
    learning_rate: float
    gradient: GradientEstimate
    directions: int
    no_info: _tensor_pb2.Tensor
    feature_range: _containers.RepeatedScalarFieldContainer[float]
    autoencoder: str
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, find: _Optional[_Union[Contrasts, str]] = ..., kappa: _Optional[float] = ..., beta: _Optional[float] = ..., gamma: _Optional[float] = ..., c_init: _Optional[float] = ..., c_steps: _Optional[int] = ..., max_iterations: _Optional[int] = ..., learning_rate: _Optional[float] = ..., gradient: _Optional[_Union[GradientEstimate, str]] = ..., directions: _Optional[int] = ..., no_info: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., feature_range: _Optional[_Iterable[float]] = ..., autoencoder: _Optional[str] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class ErasureParams(_message.Message):
    __slots__ = ("search", "beam_size", "max_erased", "segmentation", "baseline")
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    BEAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_ERASED_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    search: FlipSearch
    beam_size: int
    max_erased: int
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, search: _Optional[_Union[FlipSearch, str]] = ..., beam_size: _Optional[int] = ..., max_erased: _Optional[int] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class MeaningfulPerturbationParams(_message.Message):
    __slots__ = ("game", "iterations", "mask_size", "size_weight", "smoothness_weight", "area", "directions", "baseline")
    GAME_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    MASK_SIZE_FIELD_NUMBER: _ClassVar[int]
    SIZE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SMOOTHNESS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    game: Game
    iterations: int
    mask_size: int
    size_weight: float
    smoothness_weight: float
    area: float
    directions: int
    baseline: Baseline
    def __init__(self, game: _Optional[_Union[Game, str]] = ..., iterations: _Optional[int] = ..., mask_size: _Optional[int] = ..., size_weight: _Optional[float] = ..., smoothness_weight: _Optional[float] = ..., area: _Optional[float] = ..., directions: _Optional[int] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class RiseParams(_message.Message):
    __slots__ = ("num_masks", "cells", "keep_probability", "centred", "baseline")
    NUM_MASKS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    KEEP_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    CENTRED_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    num_masks: int
    cells: int
    keep_probability: float
    centred: bool
    baseline: Baseline
    def __init__(self, num_masks: _Optional[int] = ..., cells: _Optional[int] = ..., keep_probability: _Optional[float] = ..., centred: _Optional[bool] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class KernelShapParams(_message.Message):
    __slots__ = ("num_samples", "num_background", "paired", "segmentation", "baseline")
    NUM_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NUM_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    PAIRED_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    num_samples: int
    num_background: int
    paired: bool
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, num_samples: _Optional[int] = ..., num_background: _Optional[int] = ..., paired: _Optional[bool] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class ShapleySamplingParams(_message.Message):
    __slots__ = ("num_permutations", "antithetic", "tolerance", "num_background", "segmentation", "baseline")
    NUM_PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
    ANTITHETIC_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    NUM_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    num_permutations: int
    antithetic: bool
    tolerance: float
    num_background: int
    segmentation: Segmentation
    baseline: Baseline
    def __init__(self, num_permutations: _Optional[int] = ..., antithetic: _Optional[bool] = ..., tolerance: _Optional[float] = ..., num_background: _Optional[int] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ...) -> None: ...

class LrpParams(_message.Message):
    __slots__ = ("composite", "epsilon", "gamma", "alpha", "low", "high", "layers", "input")
    COMPOSITE_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    composite: LrpComposite
    epsilon: float
    gamma: float
    alpha: float
    low: _containers.RepeatedScalarFieldContainer[float]
    high: _containers.RepeatedScalarFieldContainer[float]
    layers: _containers.RepeatedScalarFieldContainer[str]
    input: str
    def __init__(self, composite: _Optional[_Union[LrpComposite, str]] = ..., epsilon: _Optional[float] = ..., gamma: _Optional[float] = ..., alpha: _Optional[float] = ..., low: _Optional[_Iterable[float]] = ..., high: _Optional[_Iterable[float]] = ..., layers: _Optional[_Iterable[str]] = ..., input: _Optional[str] = ...) -> None: ...

class DeepTaylorParams(_message.Message):
    __slots__ = ("bounded", "low", "high", "input")
    BOUNDED_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    bounded: bool
    low: _containers.RepeatedScalarFieldContainer[float]
    high: _containers.RepeatedScalarFieldContainer[float]
    input: str
    def __init__(self, bounded: _Optional[bool] = ..., low: _Optional[_Iterable[float]] = ..., high: _Optional[_Iterable[float]] = ..., input: _Optional[str] = ...) -> None: ...

class DeepliftParams(_message.Message):
    __slots__ = ("rule", "baseline", "input")
    RULE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    rule: DeepliftRule
    baseline: Baseline
    input: str
    def __init__(self, rule: _Optional[_Union[DeepliftRule, str]] = ..., baseline: _Optional[_Union[Baseline, _Mapping]] = ..., input: _Optional[str] = ...) -> None: ...

class GradientParams(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    def __init__(self, input: _Optional[str] = ...) -> None: ...

class SaliencyParams(_message.Message):
    __slots__ = ("input", "channel_maximum")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    input: str
    channel_maximum: bool
    def __init__(self, input: _Optional[str] = ..., channel_maximum: _Optional[bool] = ...) -> None: ...

class GradientXInputParams(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    def __init__(self, input: _Optional[str] = ...) -> None: ...

class SmoothGradParams(_message.Message):
    __slots__ = ("statistic", "num_samples", "noise", "input")
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    NUM_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    statistic: Smoothing
    num_samples: int
    noise: float
    input: str
    def __init__(self, statistic: _Optional[_Union[Smoothing, str]] = ..., num_samples: _Optional[int] = ..., noise: _Optional[float] = ..., input: _Optional[str] = ...) -> None: ...

class IntegratedGradientsParams(_message.Message):
    __slots__ = ("baselines", "rule", "steps", "tolerance", "input")
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    baselines: _containers.RepeatedCompositeFieldContainer[Baseline]
    rule: PathRule
    steps: int
    tolerance: float
    input: str
    def __init__(self, baselines: _Optional[_Iterable[_Union[Baseline, _Mapping]]] = ..., rule: _Optional[_Union[PathRule, str]] = ..., steps: _Optional[int] = ..., tolerance: _Optional[float] = ..., input: _Optional[str] = ...) -> None: ...

class GradientShapParams(_message.Message):
    __slots__ = ("num_samples", "noise", "baselines", "input")
    NUM_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    num_samples: int
    noise: float
    baselines: _containers.RepeatedCompositeFieldContainer[Baseline]
    input: str
    def __init__(self, num_samples: _Optional[int] = ..., noise: _Optional[float] = ..., baselines: _Optional[_Iterable[_Union[Baseline, _Mapping]]] = ..., input: _Optional[str] = ...) -> None: ...

class DeconvnetParams(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    def __init__(self, input: _Optional[str] = ...) -> None: ...

class GuidedBackpropParams(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    def __init__(self, input: _Optional[str] = ...) -> None: ...

class CamParams(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GradCamParams(_message.Message):
    __slots__ = ("layer", "relu")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    RELU_FIELD_NUMBER: _ClassVar[int]
    layer: str
    relu: bool
    def __init__(self, layer: _Optional[str] = ..., relu: _Optional[bool] = ...) -> None: ...

class GuidedGradCamParams(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...
