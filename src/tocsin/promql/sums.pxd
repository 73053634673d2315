# cython: language_level=3, cdivision=True
"""Sums whose rounding errors are kept beside them."""

from libc.math cimport fabs, isinf


cdef struct Sum:
    double sum
    double rest


cdef inline void add(Sum *total, double value) noexcept nogil:
    """Kahan's summation with Neumaier's exchange; an infinite sum has no rest."""
    cdef double sum = total.sum + value
    cdef bint ordered = fabs(total.sum) >= fabs(value)
    cdef double large = total.sum if ordered else value
    cdef double small = value if ordered else total.sum
    total.rest = 0.0 if isinf(sum) else total.rest + ((large - sum) + small)
    total.sum = sum
