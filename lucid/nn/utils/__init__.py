"""What is done to the parameters of a model as a whole; first of all, gradient norms."""

from lucid.nn.utils import rnn
from lucid.nn.utils.grad import (
    AutoClip,
    adaptive_clip_grad,
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_norm_by_group,
    clip_grad_norm_per_parameter,
    clip_grad_value,
    clip_grad_value_,
    clip_grads_with_norm_,
    clipped,
    get_total_norm,
    grad_norm,
)
from lucid.nn.utils.monitor import GradientMonitor, Spike
from lucid.nn.utils.report import GradientReport, GradientStats, grad_report
from lucid.nn.utils.vector import parameters_to_vector, vector_to_parameters

__all__ = [
    "AutoClip",
    "GradientMonitor",
    "GradientReport",
    "GradientStats",
    "Spike",
    "adaptive_clip_grad",
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_norm_by_group",
    "clip_grad_norm_per_parameter",
    "clip_grad_value",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "clipped",
    "get_total_norm",
    "grad_norm",
    "grad_report",
    "parameters_to_vector",
    "rnn",
    "vector_to_parameters",
]
