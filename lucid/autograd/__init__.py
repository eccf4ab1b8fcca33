"""Automatic differentiation: the public face of the engine in :mod:`lucid._core`."""

from lucid._core.engine import backward, detect_anomaly, grad
from lucid._core.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from lucid._core.tape import Node
from lucid.autograd.function import Function, FunctionContext, once_differentiable
from lucid.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = [
    "Function",
    "FunctionContext",
    "GradcheckError",
    "Node",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]
