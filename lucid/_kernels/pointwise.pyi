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

def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where positive, else alpha (e^x - 1)."""

def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + e^(beta x)) / beta, and x where beta x > threshold."""

def silu(x: ArrayLike) -> Array:
    """x sigmoid(x)"""

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

def silu_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of silu at x."""

def gelu_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of gelu at x."""

def gelu_tanh_backward(g: ArrayLike, x: ArrayLike) -> Array:
    """g times the derivative of gelu_tanh at x."""
