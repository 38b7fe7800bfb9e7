from google.api import annotations_pb2 as _annotations_pb2
from whybox.v1 import endpoint_pb2 as _endpoint_pb2
from whybox.v1 import explanation_pb2 as _explanation_pb2
from whybox.v1 import method_pb2 as _method_pb2
from whybox.v1 import spec_pb2 as _spec_pb2
from whybox.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainRequest(_message.Message):
    __slots__ = ("model", "instances", "targets", "space", "spec", "seed", "mode", "max_queries", "render", "endpoint", "lime", "occlusion", "anchors", "streak", "prediction_difference", "cem", "erasure", "meaningful_perturbation", "rise", "kernel_shap", "shapley_sampling", "gradient", "saliency", "gradient_x_input", "smooth_grad", "integrated_gradients", "gradient_shap", "deconvnet", "guided_backprop", "cam", "grad_cam", "guided_grad_cam", "lrp", "deep_taylor", "deeplift")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MAX_QUERIES_FIELD_NUMBER: _ClassVar[int]
    RENDER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    LIME_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    STREAK_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    CEM_FIELD_NUMBER: _ClassVar[int]
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    MEANINGFUL_PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    RISE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_SHAP_FIELD_NUMBER: _ClassVar[int]
    SHAPLEY_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_X_INPUT_FIELD_NUMBER: _ClassVar[int]
    SMOOTH_GRAD_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_SHAP_FIELD_NUMBER: _ClassVar[int]
    DECONVNET_FIELD_NUMBER: _ClassVar[int]
    GUIDED_BACKPROP_FIELD_NUMBER: _ClassVar[int]
    CAM_FIELD_NUMBER: _ClassVar[int]
    GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    GUIDED_GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    LRP_FIELD_NUMBER: _ClassVar[int]
    DEEP_TAYLOR_FIELD_NUMBER: _ClassVar[int]
    DEEPLIFT_FIELD_NUMBER: _ClassVar[int]
    model: str
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    targets: _containers.RepeatedCompositeFieldContainer[TargetChoice]
    space: _explanation_pb2.ScoreSpace
    spec: _spec_pb2.ModelSpec
    seed: int
    mode: _explanation_pb2.Mode
    max_queries: int
    render: _containers.RepeatedScalarFieldContainer[_explanation_pb2.RenderFormat]
    endpoint: _endpoint_pb2.Endpoint
    lime: _method_pb2.LimeParams
    occlusion: _method_pb2.OcclusionParams
    anchors: _method_pb2.AnchorsParams
    streak: _method_pb2.StreakParams
    prediction_difference: _method_pb2.PredictionDifferenceParams
    cem: _method_pb2.CemParams
    erasure: _method_pb2.ErasureParams
    meaningful_perturbation: _method_pb2.MeaningfulPerturbationParams
    rise: _method_pb2.RiseParams
    kernel_shap: _method_pb2.KernelShapParams
    shapley_sampling: _method_pb2.ShapleySamplingParams
    gradient: _method_pb2.GradientParams
    saliency: _method_pb2.SaliencyParams
    gradient_x_input: _method_pb2.GradientXInputParams
    smooth_grad: _method_pb2.SmoothGradParams
    integrated_gradients: _method_pb2.IntegratedGradientsParams
    gradient_shap: _method_pb2.GradientShapParams
    deconvnet: _method_pb2.DeconvnetParams
    guided_backprop: _method_pb2.GuidedBackpropParams
    cam: _method_pb2.CamParams
    grad_cam: _method_pb2.GradCamParams
    guided_grad_cam: _method_pb2.GuidedGradCamParams
    lrp: _method_pb2.LrpParams
    deep_taylor: _method_pb2.DeepTaylorParams
    deeplift: _method_pb2.DeepliftParams
    def __init__(self, model: _Optional[str] = ..., instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., targets: _Optional[_Iterable[_Union[TargetChoice, _Mapping]]] = ..., space: _Optional[_Union[_explanation_pb2.ScoreSpace, str]] = ..., spec: _Optional[_Union[_spec_pb2.ModelSpec, _Mapping]] = ..., seed: _Optional[int] = ..., mode: _Optional[_Union[_explanation_pb2.Mode, str]] = ..., max_queries: _Optional[int] = ..., render: _Optional[_Iterable[_Union[_explanation_pb2.RenderFormat, str]]] = ..., endpoint: _Optional[_Union[_endpoint_pb2.Endpoint, _Mapping]] = ..., lime: _Optional[_Union[_method_pb2.LimeParams, _Mapping]] = ..., occlusion: _Optional[_Union[_method_pb2.OcclusionParams, _Mapping]] = ..., anchors: _Optional[_Union[_method_pb2.AnchorsParams, _Mapping]] = ..., streak: _Optional[_Union[_method_pb2.StreakParams, _Mapping]] = ..., prediction_difference: _Optional[_Union[_method_pb2.PredictionDifferenceParams, _Mapping]] = ..., cem: _Optional[_Union[_method_pb2.CemParams, _Mapping]] = ..., erasure: _Optional[_Union[_method_pb2.ErasureParams, _Mapping]] = ..., meaningful_perturbation: _Optional[_Union[_method_pb2.MeaningfulPerturbationParams, _Mapping]] = ..., rise: _Optional[_Union[_method_pb2.RiseParams, _Mapping]] = ..., kernel_shap: _Optional[_Union[_method_pb2.KernelShapParams, _Mapping]] = ..., shapley_sampling: _Optional[_Union[_method_pb2.ShapleySamplingParams, _Mapping]] = ..., gradient: _Optional[_Union[_method_pb2.GradientParams, _Mapping]] = ..., saliency: _Optional[_Union[_method_pb2.SaliencyParams, _Mapping]] = ..., gradient_x_input: _Optional[_Union[_method_pb2.GradientXInputParams, _Mapping]] = ..., smooth_grad: _Optional[_Union[_method_pb2.SmoothGradParams, _Mapping]] = ..., integrated_gradients: _Optional[_Union[_method_pb2.IntegratedGradientsParams, _Mapping]] = ..., gradient_shap: _Optional[_Union[_method_pb2.GradientShapParams, _Mapping]] = ..., deconvnet: _Optional[_Union[_method_pb2.DeconvnetParams, _Mapping]] = ..., guided_backprop: _Optional[_Union[_method_pb2.GuidedBackpropParams, _Mapping]] = ..., cam: _Optional[_Union[_method_pb2.CamParams, _Mapping]] = ..., grad_cam: _Optional[_Union[_method_pb2.GradCamParams, _Mapping]] = ..., guided_grad_cam: _Optional[_Union[_method_pb2.GuidedGradCamParams, _Mapping]] = ..., lrp: _Optional[_Union[_method_pb2.LrpParams, _Mapping]] = ..., deep_taylor: _Optional[_Union[_method_pb2.DeepTaylorParams, _Mapping]] = ..., deeplift: _Optional[_Union[_method_pb2.DeepliftParams, _Mapping]] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("tensors", "text", "picture", "record")
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    tensors: _tensor_pb2.Tensors
    text: str
    picture: _tensor_pb2.Tensor
    record: Record
    def __init__(self, tensors: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ..., text: _Optional[str] = ..., picture: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.MessageMap[str, Value]
    def __init__(self, fields: _Optional[_Mapping[str, Value]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: float
    text: str
    def __init__(self, number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class TargetChoice(_message.Message):
    __slots__ = ("index", "label", "top")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    top: int
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., top: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("explanations",)
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    explanations: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.Explanation]
    def __init__(self, explanations: _Optional[_Iterable[_Union[_explanation_pb2.Explanation, _Mapping]]] = ...) -> None: ...

class ExplainStreamRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: ExplainRequest
    def __init__(self, request: _Optional[_Union[ExplainRequest, _Mapping]] = ...) -> None: ...

class ExplainStreamResponse(_message.Message):
    __slots__ = ("plan", "progress", "explanation")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    progress: Progress
    explanation: IndexedExplanation
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., explanation: _Optional[_Union[IndexedExplanation, _Mapping]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("rows", "exact", "seconds", "calls", "cost", "currency")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedScalarFieldContainer[int]
    exact: bool
    seconds: float
    calls: int
    cost: float
    currency: str
    def __init__(self, rows: _Optional[_Iterable[int]] = ..., exact: _Optional[bool] = ..., seconds: _Optional[float] = ..., calls: _Optional[int] = ..., cost: _Optional[float] = ..., currency: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("rows_done", "rows_planned", "instances_done")
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    ROWS_PLANNED_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_DONE_FIELD_NUMBER: _ClassVar[int]
    rows_done: int
    rows_planned: int
    instances_done: int
    def __init__(self, rows_done: _Optional[int] = ..., rows_planned: _Optional[int] = ..., instances_done: _Optional[int] = ...) -> None: ...

class IndexedExplanation(_message.Message):
    __slots__ = ("index", "explanation")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    index: int
    explanation: _explanation_pb2.Explanation
    def __init__(self, index: _Optional[int] = ..., explanation: _Optional[_Union[_explanation_pb2.Explanation, _Mapping]] = ...) -> None: ...

class PlanExplainRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: ExplainRequest
    def __init__(self, request: _Optional[_Union[ExplainRequest, _Mapping]] = ...) -> None: ...

class PlanExplainResponse(_message.Message):
    __slots__ = ("plan", "notes")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListMethodsRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ListMethodsResponse(_message.Message):
    __slots__ = ("methods",)
    METHODS_FIELD_NUMBER: _ClassVar[int]
    methods: _containers.RepeatedCompositeFieldContainer[MethodInfo]
    def __init__(self, methods: _Optional[_Iterable[_Union[MethodInfo, _Mapping]]] = ...) -> None: ...

class MethodInfo(_message.Message):
    __slots__ = ("name", "summary", "citation", "modalities", "version", "parameters", "not_applicable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CITATION_FIELD_NUMBER: _ClassVar[int]
    MODALITIES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    NOT_APPLICABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    citation: str
    modalities: _containers.RepeatedScalarFieldContainer[_spec_pb2.Modality]
    version: str
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterInfo]
    not_applicable: str
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., citation: _Optional[str] = ..., modalities: _Optional[_Iterable[_Union[_spec_pb2.Modality, str]]] = ..., version: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[ParameterInfo, _Mapping]]] = ..., not_applicable: _Optional[str] = ...) -> None: ...

class ParameterInfo(_message.Message):
    __slots__ = ("name", "type", "default", "summary", "choices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    default: str
    summary: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., default: _Optional[str] = ..., summary: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ...) -> None: ...
