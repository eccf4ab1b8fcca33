"""Optimizers, with PyTorch's names, arguments and equations; learning-rate schedules.

A step is one compiled call over all parameters of a group, and clipping by norm
(``max_grad_norm=``) is folded into it.
"""

from lucid.optim import lr_scheduler
from lucid.optim.adagrad import Adadelta, Adagrad
from lucid.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from lucid.optim.asgd import ASGD
from lucid.optim.lion import Lion
from lucid.optim.optimizer import Optimizer
from lucid.optim.rmsprop import RMSprop
from lucid.optim.rprop import Rprop
from lucid.optim.sgd import SGD

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]
