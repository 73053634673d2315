# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The smallest and the largest value of a window, and when it was."""

from libc.math cimport isnan

from tocsin.promql.work cimport Work, each, overlap, put


cdef inline bint _beats(double value, double best, bint largest, bint latest) noexcept nogil:
    """A number before a NaN; of equals the first, or the latest."""
    if latest:
        return (value >= best if largest else value <= best) or isnan(best)
    return (value > best if largest else value < best) or isnan(best)


cdef inline void _extreme(const Work *work, bint largest, bint latest, bint timed) noexcept nogil:
    """In `marks` [head, tail) wait the samples that may yet be the extreme, the best first, rising in time."""
    cdef Py_ssize_t moment, at, head = 0, tail = 0, done = 0, best
    for moment in range(work.count):
        if work.first[moment] >= done:
            head = tail = 0
            done = work.first[moment]
        for at in range(done, work.stop[moment]):
            while tail > head and _beats(work.values[at], work.values[work.marks[tail - 1]], largest, latest):
                tail -= 1
            work.marks[tail] = at
            tail += 1
        done = work.stop[moment]
        while head < tail and work.marks[head] < work.first[moment]:
            head += 1
        if head < tail:
            best = work.marks[head]
            put(work, moment, <double>work.times[best] / 1000 if timed else work.values[best])


cdef inline double _scanned(const Work *work, Py_ssize_t low, Py_ssize_t high, bint largest) noexcept nogil:
    cdef double best = work.values[low]
    cdef Py_ssize_t at
    for at in range(low + 1, high):
        best = work.values[at] if _beats(work.values[at], best, largest, False) else best
    return best


cdef inline double _least(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return _scanned(work, low, high, False)


cdef inline double _greatest(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return _scanned(work, low, high, True)


cdef inline void smallest(const Work *work) noexcept nogil:
    if overlap(work):
        _extreme(work, False, False, False)
    else:
        each(work, _least, 1)


cdef inline void largest(const Work *work) noexcept nogil:
    if overlap(work):
        _extreme(work, True, False, False)
    else:
        each(work, _greatest, 1)


cdef inline void time_of_smallest(const Work *work) noexcept nogil:
    _extreme(work, False, True, True)


cdef inline void time_of_largest(const Work *work) noexcept nogil:
    _extreme(work, True, True, True)
