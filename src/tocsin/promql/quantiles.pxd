# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Quantiles of windows. NaN is the smallest value; between two values they are interpolated."""

from libc.math cimport INFINITY, NAN, fabs, floor, isnan
from libc.string cimport memmove

from tocsin.promql.selection cimport lowest, select
from tocsin.promql.work cimport Work, each, put


cdef inline double _ranked(double *numbers, Py_ssize_t size, Py_ssize_t nans, double share, bint ordered) noexcept nogil:
    """The quantile of `size` numbers and so many NaN, which come first. An order that they have is kept."""
    cdef double rank = share * <double>(size + nans - 1), low, high, weight
    cdef Py_ssize_t at
    if isnan(share):
        return NAN
    if share < 0:
        return -INFINITY
    if share > 1:
        return INFINITY
    at = <Py_ssize_t>floor(rank) - nans
    weight = rank - floor(rank)
    if at < 0:
        low = NAN
    else:
        low = numbers[at] if ordered else select(numbers, size, at)
    if at + 1 >= size:
        high = low
    elif at + 1 < 0:
        high = NAN
    else:
        high = numbers[at + 1] if ordered else lowest(numbers, at + 1, size)
    return low * (1 - weight) + high * weight


cdef inline double _distances(
    const Work *work, Py_ssize_t low, Py_ssize_t high, double middle, bint distant, double share
) noexcept nogil:
    """A quantile of the values, or of their distances from the middle."""
    cdef Py_ssize_t at, size = 0
    cdef double value
    for at in range(low, high):
        value = fabs(work.values[at] - middle) if distant else work.values[at]
        work.numbers[size] = value
        size += not isnan(value)
    return _ranked(work.numbers, size, high - low - size, share, False)


cdef inline double deviation(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    """The median distance from the median."""
    cdef double median = _distances(work, low, high, 0.0, False, 0.5)
    return _distances(work, low, high, median, True, 0.5)


cdef inline double _selected(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return _distances(work, low, high, 0.0, False, work.one[moment * work.one_stride])


cdef inline Py_ssize_t _place(const double *numbers, Py_ssize_t size, double value) noexcept nogil:
    """Where the first number stands that is not smaller, among `size` that rise."""
    cdef Py_ssize_t low = 0, half
    while size > 0:
        half = size >> 1
        if numbers[low + half] < value:
            low += half + 1
            size -= half + 1
        else:
            size = half
    return low


cdef inline void _slid(const Work *work) noexcept nogil:
    """One ordered window, into which samples come and from which they go."""
    cdef Py_ssize_t moment, at, place, size = 0, nans = 0, first = 0, stop = 0
    cdef double value
    cdef double *numbers = work.numbers
    for moment in range(work.count):
        if work.first[moment] >= stop:
            size = nans = 0
            first = stop = work.first[moment]
        for at in range(first, work.first[moment]):
            value = work.values[at]
            if isnan(value):
                nans -= 1
            else:
                place = _place(numbers, size, value)
                size -= 1
                memmove(numbers + place, numbers + place + 1, (size - place) * sizeof(double))
        for at in range(stop, work.stop[moment]):
            value = work.values[at]
            if isnan(value):
                nans += 1
            else:
                place = _place(numbers, size, value)
                memmove(numbers + place + 1, numbers + place, (size - place) * sizeof(double))
                numbers[place] = value
                size += 1
        first, stop = work.first[moment], work.stop[moment]
        if size + nans:
            put(work, moment, _ranked(numbers, size, nans, work.one[moment * work.one_stride], True))


cdef inline bint _slides(const Work *work) noexcept nogil:
    """Whether to keep a window in order is less work than to select in each: measured, by overlap and length."""
    cdef Py_ssize_t moment, seen = 0, span = work.stop[work.count - 1] - work.first[0]
    for moment in range(work.count):
        seen += work.stop[moment] - work.first[moment]
    return seen > span * (8 + seen // work.count // 64)


cdef inline void quantile(const Work *work) noexcept nogil:
    if _slides(work):
        _slid(work)
    else:
        each(work, _selected, 1)
