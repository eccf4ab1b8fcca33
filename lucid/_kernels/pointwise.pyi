"""Element-wise kernels; see the head of pointwise.pyx for what runs where."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def add(x: ArrayLike, y: ArrayLike) -> Array:
    """x + y"""

def sub(x: ArrayLike, y: ArrayLike) -> Array:
    """x - y"""

def mul(x: ArrayLike, y: ArrayLike) -> Array:
    """x * y"""

def div(x: ArrayLike, y: ArrayLike) -> Array:
    """x / y"""

def maximum(x: ArrayLike, y: ArrayLike) -> Array:
    """The larger one; NaN where either is NaN."""

def minimum(x: ArrayLike, y: ArrayLike) -> Array:
    """The smaller one; NaN where either is NaN."""

def prelu(x: ArrayLike, weight: ArrayLike) -> Array:
    """x where positive, else weight x; the weight broadcasts."""

def pow(x: ArrayLike, y: ArrayLike) -> Array:
    """x ** y; loops of their own for the exponents 2, 3, 0.5, -1 and -0.5."""

def add_(x: Array, y: ArrayLike) -> Array:
    """x += y; returns x."""

def sub_(x: Array, y: ArrayLike) -> Array:
    """x -= y; returns x."""

def mul_(x: Array, y: ArrayLike) -> Array:
    """x *= y; returns x."""

def div_(x: Array, y: ArrayLike) -> Array:
    """x /= y; returns x."""

def axpy_(x: Array, y: ArrayLike, alpha: float) -> Array:
    """x += alpha y; returns x."""

def neg(x: ArrayLike) -> Array:
    """-x"""

def abs(x: ArrayLike) -> Array:
    """|x|"""

def square(x: ArrayLike) -> Array:
    """x^2"""

def sqrt(x: ArrayLike) -> Array:
    """Square root."""

def rsqrt(x: ArrayLike) -> Array:
    """1 / sqrt(x)"""

def reciprocal(x: ArrayLike) -> Array:
    """1 / x"""

def exp(x: ArrayLike) -> Array:
    """e^x"""

def expm1(x: ArrayLike) -> Array:
    """e^x - 1, exact for small x."""

def log(x: ArrayLike) -> Array:
    """Natural logarithm."""

def log1p(x: ArrayLike) -> Array:
    """log(1 + x), exact for small x."""

def log2(x: ArrayLike) -> Array:
    """Logarithm to base 2."""

def log10(x: ArrayLike) -> Array:
    """Logarithm to base 10."""

def tanh(x: ArrayLike) -> Array:
    """Hyperbolic tangent."""

def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + e^-x)"""

def erf(x: ArrayLike) -> Array:
    """Error function."""

def relu(x: ArrayLike) -> Array:
    """max(x, 0); NaN stays NaN."""

def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """x where positive, else negative_slope x."""

def threshold(x: ArrayLike, threshold: float, value: float) -> Array:
    """x where x > threshold, else value; NaN stays NaN."""

def hardtanh(x: ArrayLike, low: float = -1.0, high: float = 1.0) -> Array:
    """x limited to [low, high]; NaN stays NaN."""

def hardsigmoid(x: ArrayLike) -> Array:
    """x + 3 limited to [0, 6], over 6."""

def hardswish(x: ArrayLike) -> Array:
    """x hardsigmoid(x)"""

def hardshrink(x: ArrayLike, lambd: float = 0.5) -> Array:
    """x, and 0 where |x| <= lambd."""

def softshrink(x: ArrayLike, lambd: float = 0.5) -> Array:
    """x moved by lambd towards 0, and 0 where |x| <= lambd."""

def huber(x: ArrayLike, delta: float, scale: float) -> Array:
    """scale x^2 / 2 where |x| < delta, else scale delta (|x| - delta / 2)."""

def softsign(x: ArrayLike) -> Array:
    """x / (1 + |x|)"""

def tanhshrink(x: ArrayLike) -> Array:
    """x - tanh(x), without cancellation."""

def elu(x: ArrayLike, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """scale x where positive, else scale alpha (e^(input_scale x) - 1)."""

def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + e^(beta x)) / beta, and x where beta x > threshold."""

def log_sigmoid(x: ArrayLike) -> Array:
    """-log(1 + e^-x)"""

def silu(x: ArrayLike) -> Array:
    """x sigmoid(x)"""

def mish(x: ArrayLike) -> Array:
    """x tanh(log(1 + e^x))"""

def gelu(x: ArrayLike) -> Array:
    """x Phi(x), Phi the standard normal distribution function."""

def gelu_tanh(x: ArrayLike) -> Array:
    """The tanh approximation of GELU."""

def relu_backward(g: ArrayLike, out: ArrayLike) -> Array:
    """g where out > 0, else 0."""

def leaky_relu_backward(g: ArrayLike, x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """g where x > 0, else negative_slope g."""

def tanh_backward(g: ArrayLike, out: ArrayLike) -> Array:
    """g (1 - out^2)"""

def sigmoid_backward(g: ArrayLike, out: ArrayLike) -> Array:
    """g out (1 - out)"""

def threshold_backward(g: ArrayLike, x: ArrayLike, threshold: float) -> Array:
    """g where x > threshold, else 0."""

def hardtanh_backward(g: ArrayLike, x: ArrayLike, low: float = -1.0, high: float = 1.0) -> Array:
    """g where low < x < high, else 0."""

def hardsigmoid_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g / 6 where -3 < x < 3, else 0."""

def hardswish_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of hardswish at x."""

def shrink_backward(g: ArrayLike, x: ArrayLike, lambd: float = 0.5) -> Array:
    """0 where |x| <= lambd, else g: of both shrinks."""

def softsign_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g / (1 + |x|)^2"""

def tanhshrink_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g tanh(x)^2"""

def elu_backward(
    g: ArrayLike, x: ArrayLike, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Array:
    """g times the derivative of elu at x."""

def softplus_backward(
    g: ArrayLike, x: ArrayLike, beta: float = 1.0, threshold: float = 20.0
) -> Array:
    """g sigmoid(beta x), and g where beta x > threshold."""

def log_sigmoid_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g sigmoid(-x)"""

def mish_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of mish at x."""

def silu_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of silu at x."""

def gelu_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of gelu at x."""

def gelu_tanh_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of gelu_tanh at x."""

def glu(x: Array, dim: int) -> Array:
    """The first half along dim (>= 0) times the sigmoid of the second."""

def glu_backward(g: Array, x: Array, dim: int) -> Array:
    """The gradients of both halves, in the shape of x."""

def dropout(
    x: Array,
    p: float,
    seed: int,
    group: int = 1,
    scale: float = 1.0,
    shift: float = 0.0,
    dropped: float = 0.0,
) -> Array:
    """scale x + shift, or with probability p `dropped`: by the seed and the place in C order.

    Runs of `group` elements share a draw.
    """

def rrelu(y: Array, x: Array, lower: float, upper: float, seed: int) -> Array:
    """y where x > 0, else y times a slope in [lower, upper), drawn by the seed and the place."""
