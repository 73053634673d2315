# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What a series did from one sample to the next: rates, resets, changes."""

from libc.math cimport isnan
from libc.stdint cimport int64_t

from tocsin.promql.work cimport Work, put

ctypedef bint (*Event)(double before, double value) noexcept nogil


cdef inline bint _fell(double before, double value) noexcept nogil:
    return value < before


cdef inline bint _changed(double before, double value) noexcept nogil:
    return value != before and not (isnan(value) and isnan(before))


cdef inline Py_ssize_t _mark(const Work *work, Event event) noexcept nogil:
    """Marks the samples in which something happened since the sample before, both being in one window."""
    cdef Py_ssize_t moment, at, done = 0, marked = 0
    for moment in range(work.count):
        for at in range(max(done, work.first[moment] + 1), work.stop[moment]):
            work.marks[marked] = at
            marked += event(work.values[at - 1], work.values[at])
        done = work.stop[moment]
    return marked


cdef inline void _count_marks(const Work *work, Py_ssize_t marked) noexcept nogil:
    cdef Py_ssize_t moment, low = 0, high = 0
    for moment in range(work.count):
        while high < marked and work.marks[high] < work.stop[moment]:
            high += 1
        while low < high and work.marks[low] <= work.first[moment]:
            low += 1
        if work.stop[moment] > work.first[moment]:
            put(work, moment, <double>(high - low))


cdef inline void resets(const Work *work) noexcept nogil:
    _count_marks(work, _mark(work, _fell))


cdef inline void changes(const Work *work) noexcept nogil:
    _count_marks(work, _mark(work, _changed))


cdef inline double _extrapolated(
    const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high, double rise, bint counter
) noexcept nogil:
    """The rise from the first sample to the last, as if it went on to the window's edges.

    Only as far as half a distance between samples where the series seems to begin or end inside, and to no less than 0
    where it counts.
    """
    cdef int64_t end = work.start + moment * work.step
    cdef double first = work.values[low]
    cdef double sampled = <double>(work.times[high - 1] - work.times[low]) / 1000
    cdef double apart = sampled / <double>(high - low - 1)
    cdef double before = <double>(work.times[low] - (end - work.range_ms)) / 1000
    cdef double after = <double>(end - work.times[high - 1]) / 1000
    cdef double to_zero
    if before >= apart * 1.1:
        before = apart / 2
    if counter and rise > 0 and first >= 0:
        to_zero = sampled * (first / rise)
        if to_zero < before:
            before = to_zero
    if after >= apart * 1.1:
        after = apart / 2
    return (sampled + before + after) / sampled


cdef inline void _counter(const Work *work, bint per_second) noexcept nogil:
    """What was lost where it fell is added in the order of time."""
    cdef Py_ssize_t marked = _mark(work, _fell), moment, low = 0, at, first, stop
    cdef double rise, factor
    for moment in range(work.count):
        first = work.first[moment]
        stop = work.stop[moment]
        while low < marked and work.marks[low] <= first:
            low += 1
        if stop - first < 2:
            continue
        rise = work.values[stop - 1] - work.values[first]
        at = low
        while at < marked and work.marks[at] < stop:
            rise += work.values[work.marks[at] - 1]
            at += 1
        factor = _extrapolated(work, moment, first, stop, rise, True)
        put(work, moment, rise * (factor / work.range_s if per_second else factor))


cdef inline void rate(const Work *work) noexcept nogil:
    _counter(work, True)


cdef inline void increase(const Work *work) noexcept nogil:
    _counter(work, False)


cdef inline double delta(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef double rise = work.values[high - 1] - work.values[low]
    return rise * _extrapolated(work, moment, low, high, rise, False)


cdef inline double idelta(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return work.values[high - 1] - work.values[high - 2]


cdef inline double irate(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef double last = work.values[high - 1], before = work.values[high - 2]
    cdef double rise = last if last < before else last - before
    return rise / (<double>(work.times[high - 1] - work.times[high - 2]) / 1000)
