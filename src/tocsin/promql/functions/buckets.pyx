# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Classic histograms: what their cumulative buckets say, for every histogram at every step.

Histogram g has the rows order[starts[g]:starts[g + 1]] of values float64[rows, steps], its bounds rising;
bounds float64[rows] are in the order of `order`. A bucket that is absent at a step does not exist there; buckets with
one bound ("1" and "1.0") are one. Source: Prometheus promql/quantile.go, BucketQuantile and BucketFraction.
"""

import numpy as np

from libc.math cimport INFINITY, NAN, fabs, isnan
from libc.stdint cimport int64_t, uint8_t

cdef double SMALL = 1e-12  # relative: less than this between two buckets is rounding, whatever its direction
cdef double LEAST = 2.2250738585072014e-308
cdef double MOST = 1.7976931348623157e308


cdef inline bint _about(double a, double b) noexcept nogil:
    cdef double total, apart
    if (isnan(a) and isnan(b)) or a == b:
        return True
    total, apart = fabs(a) + fabs(b), fabs(a - b)
    if a == 0 or b == 0 or total < LEAST:
        return apart < SMALL * LEAST
    return apart / min(total, MOST) < SMALL


cdef Py_ssize_t _gathered(
    const double[:, ::1] values,
    const uint8_t[:, ::1] present,
    const int64_t[::1] order,
    const double[::1] bounds,
    Py_ssize_t first,
    Py_ssize_t last,
    Py_ssize_t step,
    double *bound,
    double *count,
) noexcept nogil:
    """The buckets that are there, each bound once; how many."""
    cdef Py_ssize_t size = 0, at
    for at in range(first, last):
        if not present[order[at], step]:
            continue
        if size and bound[size - 1] == bounds[at]:
            count[size - 1] += values[order[at], step]
        else:
            bound[size] = bounds[at]
            count[size] = values[order[at], step]
            size += 1
    return size


cdef bint _mended(double *count, Py_ssize_t size) noexcept nogil:
    """No bucket holds less than the one below. Whether that had to be made so, small differences aside."""
    cdef Py_ssize_t at
    cdef bint forced = False
    cdef double before = count[0]
    for at in range(1, size):
        if count[at] == before:
            continue
        if _about(before, count[at]):
            count[at] = before
        elif count[at] < before:
            count[at] = before
            forced = True
        else:
            before = count[at]
    return forced


cdef double _quantile(double phi, double *bound, double *count, Py_ssize_t size, bint *forced) noexcept nogil:
    cdef double total, rank, start = 0, inside
    cdef Py_ssize_t low = 0, high = size - 1, middle
    cdef bint mended
    if isnan(phi):
        return NAN
    if phi < 0:
        return -INFINITY
    if phi > 1:
        return INFINITY
    if bound[size - 1] != INFINITY:
        return NAN
    mended = _mended(count, size)
    total = count[size - 1]
    if size < 2 or total == 0:
        return NAN
    if mended:
        forced[0] = True
    rank = phi * total
    while low < high:
        middle = (low + high) // 2
        if count[middle] >= rank:
            high = middle
        else:
            low = middle + 1
    if low == size - 1:
        return bound[size - 2]
    if low == 0 and bound[0] <= 0:
        return bound[0]
    inside = count[low]
    if low > 0:
        start = bound[low - 1]
        inside -= count[low - 1]
        rank -= count[low - 1]
    return start + (bound[low] - start) * (rank / inside)


cdef double _below(double edge, double *bound, double *count, Py_ssize_t size) noexcept nogil:
    """How many observations lie below the edge, as straight lines between the bounds say."""
    cdef Py_ssize_t at
    cdef double lower = 0 if bound[0] > 0 else -INFINITY, rank = 0
    for at in range(size):
        if at > 0:
            lower = bound[at - 1]
        if lower >= edge:
            return min(rank, count[size - 1])
        if bound[at] > edge:
            if lower == -INFINITY:
                return min(count[at], count[size - 1])
            return min(rank + (count[at] - rank) * (edge - lower) / (bound[at] - lower), count[size - 1])
        rank = count[at]
    return count[size - 1]


def quantiles(
    const double[:, ::1] values,
    const uint8_t[:, ::1] present,
    const int64_t[::1] order,
    const int64_t[::1] starts,
    const double[::1] bounds,
    const double[::1] phi,
):
    """float64[histograms, steps], where there are any buckets, and whether any had to be mended to rise."""
    cdef Py_ssize_t groups = starts.shape[0] - 1, steps = values.shape[1], group, step, size
    answer, there = np.zeros((groups, steps)), np.zeros((groups, steps), np.uint8)
    room = np.zeros((2, max(values.shape[0], 1)))
    cdef double[:, ::1] out = answer, held = room
    cdef uint8_t[:, ::1] seen = there
    cdef bint forced = False
    with nogil:
        for group in range(groups):
            for step in range(steps):
                size = _gathered(
                    values, present, order, bounds, starts[group], starts[group + 1], step, &held[0, 0], &held[1, 0]
                )
                if size:
                    seen[group, step] = 1
                    out[group, step] = _quantile(phi[step], &held[0, 0], &held[1, 0], size, &forced)
    return answer, there, bool(forced)


def fractions(
    const double[:, ::1] values,
    const uint8_t[:, ::1] present,
    const int64_t[::1] order,
    const int64_t[::1] starts,
    const double[::1] bounds,
    const double[::1] lower,
    const double[::1] upper,
):
    """float64[histograms, steps]: the share of observations between lower and upper; and where there are buckets."""
    cdef Py_ssize_t groups = starts.shape[0] - 1, steps = values.shape[1], group, step, size
    answer, there = np.zeros((groups, steps)), np.zeros((groups, steps), np.uint8)
    room = np.zeros((2, max(values.shape[0], 1)))
    cdef double[:, ::1] out = answer, held = room
    cdef uint8_t[:, ::1] seen = there
    cdef double total
    with nogil:
        for group in range(groups):
            for step in range(steps):
                size = _gathered(
                    values, present, order, bounds, starts[group], starts[group + 1], step, &held[0, 0], &held[1, 0]
                )
                if not size:
                    continue
                seen[group, step] = 1
                total = held[1, size - 1]
                if held[0, size - 1] != INFINITY or total == 0 or isnan(lower[step]) or isnan(upper[step]):
                    out[group, step] = NAN
                elif lower[step] < upper[step]:
                    out[group, step] = (
                        _below(upper[step], &held[0, 0], &held[1, 0], size)
                        - _below(lower[step], &held[0, 0], &held[1, 0], size)
                    ) / total
    return answer, there
