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


cdef inline double _better(double value, double best, bint largest) noexcept nogil:
    """One instruction of the machine: `best` stays where the value is NaN."""
    return (value if value > best else best) if largest else (value if value < best else best)


cdef inline double _scanned(const Work *work, Py_ssize_t low, Py_ssize_t high, bint largest) noexcept nogil:
    """Four at a time, as each comparison waits for the one before."""
    cdef Py_ssize_t at
    cdef double one, two, three, four
    while low < high - 1 and isnan(work.values[low]):
        low += 1
    one = two = three = four = work.values[low]
    at = low + 1
    while at + 4 <= high:
        one = _better(work.values[at], one, largest)
        two = _better(work.values[at + 1], two, largest)
        three = _better(work.values[at + 2], three, largest)
        four = _better(work.values[at + 3], four, largest)
        at += 4
    while at < high:
        one = _better(work.values[at], one, largest)
        at += 1
    one = _better(_better(two, one, largest), _better(four, three, largest), largest)
    if one == 0:  # of 0 and -0, which are equal, the first
        while work.values[low] != 0:
            low += 1
        one = work.values[low]
    return one


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
