"""Neural networks: modules, layers, losses, initial values, gradient norms."""

import sys as _sys

from lucid.nn import functional, init, utils
from lucid.nn.layers.activation import *
from lucid.nn.layers.attention import *
from lucid.nn.layers.container import *
from lucid.nn.layers.convolution import *
from lucid.nn.layers.distance import *
from lucid.nn.layers.dropout import *
from lucid.nn.layers.embedding import *
from lucid.nn.layers.linear import *
from lucid.nn.layers.loss import *
from lucid.nn.layers.normalization import *
from lucid.nn.layers.padding import *
from lucid.nn.layers.pooling import *
from lucid.nn.layers.recurrent import *
from lucid.nn.layers.resampling import *
from lucid.nn.layers.shape import *
from lucid.nn.layers.transformer import *
from lucid.nn.module import Module
from lucid.nn.parameter import Buffer, Parameter

util = utils
_sys.modules[f"{__name__}.util"] = utils  # so that it can also be imported from
