# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One series under reduction: its samples, its windows, and where its values go."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define TOCSIN_STALE 0x7FF0000000000002ULL
    """
    const uint64_t STALE "TOCSIN_STALE"

cdef struct Work:
    int64_t start, step, range_ms
    Py_ssize_t count
    double range_s
    const double *one  # the parameters, each for all moments (stride 0) or one for each (1)
    const double *two
    Py_ssize_t one_stride, two_stride

    const int64_t *times  # the series
    const double *values
    Py_ssize_t size
    Py_ssize_t *first  # [count]
    Py_ssize_t *stop

    Py_ssize_t *marks  # [longest + 1]: events, or a queue
    double *numbers  # [longest]
    int64_t *kept_times  # [longest]
    double *kept_values

    double *out  # [count]
    uint8_t *present


ctypedef double (*Reducer)(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil


cdef inline Py_ssize_t after(const int64_t *times, Py_ssize_t at, Py_ssize_t size, int64_t moment) noexcept nogil:
    """The first of at…size whose time is later than the moment; nothing before `at` is."""
    cdef Py_ssize_t low = at, high, middle, width = 1
    if at >= size or times[at] > moment:
        return at
    while width < size - low and times[low + width] <= moment:
        low += width
        width *= 2
    high = low + width if width < size - low else size
    while high - low > 1:  # times[low] ≤ moment, and high is past the end or later
        middle = low + ((high - low) >> 1)
        if times[middle] <= moment:
            low = middle
        else:
            high = middle
    return high


cdef inline void look(Work *work) noexcept nogil:
    """Sets the windows."""
    cdef Py_ssize_t first = 0, stop = 0, moment
    cdef int64_t time = work.start
    for moment in range(work.count):
        stop = after(work.times, stop, work.size, time)
        first = after(work.times, first, stop, time - work.range_ms)
        work.first[moment] = first
        work.stop[moment] = stop
        time += work.step


cdef inline uint64_t bits(const double *value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, value, 8)
    return bits


cdef inline bint has_stale(const Work *work) noexcept nogil:
    cdef Py_ssize_t moment, at, done = 0
    cdef bint found = False
    for moment in range(work.count):
        for at in range(max(done, work.first[moment]), work.stop[moment]):
            found |= bits(&work.values[at]) == STALE
        done = work.stop[moment]
    return found


cdef inline void without_stale(Work *work) noexcept nogil:
    cdef Py_ssize_t at, kept = 0
    for at in range(work.size):
        if bits(&work.values[at]) != STALE:
            work.kept_times[kept] = work.times[at]
            work.kept_values[kept] = work.values[at]
            kept += 1
    work.times = work.kept_times
    work.values = work.kept_values
    work.size = kept
    look(work)


cdef inline void put(const Work *work, Py_ssize_t moment, double value) noexcept nogil:
    work.out[moment] = value
    work.present[moment] = 1


cdef inline bint overlap(const Work *work) noexcept nogil:
    """Whether samples are in two windows and more."""
    cdef Py_ssize_t moment, seen = 0
    for moment in range(work.count):
        seen += work.stop[moment] - work.first[moment]
    return seen > 2 * (work.stop[work.count - 1] - work.first[0])


cdef inline void each(const Work *work, Reducer reducer, Py_ssize_t least) noexcept nogil:
    """Each window by itself, where it has so many samples."""
    cdef Py_ssize_t moment
    for moment in range(work.count):
        if work.stop[moment] - work.first[moment] >= least:
            put(work, moment, reducer(work, moment, work.first[moment], work.stop[moment]))
