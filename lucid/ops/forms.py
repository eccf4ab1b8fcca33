"""Public functions that take more than the operation behind the operator does.

``+`` is bound to the two-argument operation, which must cost nothing more; ``lucid.add`` also
takes ``alpha``, ``lucid.div`` also ``rounding_mode``, ``lucid.pow`` also ``exponent=``.
"""

from lucid.ops.pointwise import FUNCTION_FORMS

add = FUNCTION_FORMS["add"]
sub = FUNCTION_FORMS["sub"]
subtract = FUNCTION_FORMS["subtract"]
div = FUNCTION_FORMS["div"]
divide = FUNCTION_FORMS["divide"]
pow = FUNCTION_FORMS["pow"]
