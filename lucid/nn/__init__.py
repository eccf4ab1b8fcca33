"""Neural networks: modules, layers, losses, initial values, gradient norms."""

from lucid.nn import functional, init
from lucid.nn.layers.linear import Linear
from lucid.nn.module import Module
from lucid.nn.parameter import Buffer, Parameter
from lucid.nn import utils

util = utils
