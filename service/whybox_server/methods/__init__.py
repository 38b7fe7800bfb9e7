"""The methods. A new one adds a file here and its record to `METHODS`."""

from __future__ import annotations

from typing import Any

from whybox_server.methods.anchors import ANCHORS
from whybox_server.methods.cam import CAM
from whybox_server.methods.cem import CEM
from whybox_server.methods.deconvnet import DECONVNET
from whybox_server.methods.deep_taylor import DEEP_TAYLOR
from whybox_server.methods.deeplift import DEEPLIFT
from whybox_server.methods.erasure import ERASURE
from whybox_server.methods.grad_cam import GRAD_CAM
from whybox_server.methods.gradient import GRADIENT
from whybox_server.methods.gradient_shap import GRADIENT_SHAP
from whybox_server.methods.gradient_x_input import GRADIENT_X_INPUT
from whybox_server.methods.guided_backprop import GUIDED_BACKPROP
from whybox_server.methods.guided_grad_cam import GUIDED_GRAD_CAM
from whybox_server.methods.integrated_gradients import INTEGRATED_GRADIENTS
from whybox_server.methods.kernel_shap import KERNEL_SHAP
from whybox_server.methods.lime import LIME
from whybox_server.methods.lrp import LRP
from whybox_server.methods.meaningful_perturbation import MEANINGFUL_PERTURBATION
from whybox_server.methods.method import Method
from whybox_server.methods.occlusion import OCCLUSION
from whybox_server.methods.prediction_difference import PREDICTION_DIFFERENCE
from whybox_server.methods.rise import RISE
from whybox_server.methods.saliency import SALIENCY
from whybox_server.methods.shapley_sampling import SHAPLEY_SAMPLING
from whybox_server.methods.smooth_grad import SMOOTH_GRAD
from whybox_server.methods.streak import STREAK

METHODS: tuple[Method[Any, Any], ...] = (
    LIME,
    OCCLUSION,
    ANCHORS,
    KERNEL_SHAP,
    SHAPLEY_SAMPLING,
    STREAK,
    ERASURE,
    PREDICTION_DIFFERENCE,
    RISE,
    CEM,
    MEANINGFUL_PERTURBATION,
    GRADIENT,
    SALIENCY,
    GRADIENT_X_INPUT,
    SMOOTH_GRAD,
    INTEGRATED_GRADIENTS,
    GRADIENT_SHAP,
    DECONVNET,
    GUIDED_BACKPROP,
    CAM,
    GRAD_CAM,
    GUIDED_GRAD_CAM,
    LRP,
    DEEP_TAYLOR,
    DEEPLIFT,
)
METHOD = {method.name: method for method in METHODS}
