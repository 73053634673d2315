# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Many series to few, at every step: one pass over the rows, in their order, with compensated sums.

values float64[rows, steps] and present uint8[rows, steps], both contiguous; of int64[rows] is the group of each row.
Answers are float64[groups, steps] and undefined (0) where a group has nobody; `counts` tells where that is.
The orders of operations are Prometheus' (promql/engine.go, aggregation), so that the last bits agree as well.
"""

import numpy as np

from libc.math cimport NAN, INFINITY, fabs, floor, isinf, isnan
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef inline void _add(double more, double *total, double *lost) noexcept nogil:
    """Neumaier's sum: what a step rounds away is kept aside."""
    cdef double now = total[0] + more
    if isinf(now):
        lost[0] = 0
    elif fabs(total[0]) >= fabs(more):
        lost[0] += (total[0] - now) + more
    else:
        lost[0] += (more - now) + total[0]
    total[0] = now


def sums(const double[:, ::1] values, const uint8_t[:, ::1] present, const int64_t[::1] of, Py_ssize_t count):
    cdef Py_ssize_t rows = values.shape[0], steps = values.shape[1], row, step, group
    answer, kept, begun = np.zeros((count, steps)), np.zeros((count, steps)), np.zeros((count, steps), np.uint8)
    cdef double[:, ::1] total = answer, lost = kept
    cdef uint8_t[:, ::1] seen = begun
    with nogil:
        for row in range(rows):
            group = of[row]
            for step in range(steps):
                if present[row, step]:
                    if seen[group, step]:
                        _add(values[row, step], &total[group, step], &lost[group, step])
                    else:
                        seen[group, step] = 1
                        total[group, step] = values[row, step]
        for group in range(count):
            for step in range(steps):
                total[group, step] += lost[group, step]
    return answer


def means(const double[:, ::1] values, const uint8_t[:, ::1] present, const int64_t[::1] of, Py_ssize_t count):
    """The sum by the count; from where the sum would overflow, a running mean instead."""
    cdef Py_ssize_t rows = values.shape[0], steps = values.shape[1], row, step, group
    answer, kept, told = np.zeros((count, steps)), np.zeros((count, steps)), np.zeros((count, steps), np.int64)
    running = np.zeros((count, steps), np.uint8)
    cdef double[:, ::1] total = answer, lost = kept
    cdef int64_t[:, ::1] number = told
    cdef uint8_t[:, ::1] mean = running
    cdef double now, rest, share, n
    with nogil:
        for row in range(rows):
            group = of[row]
            for step in range(steps):
                if not present[row, step]:
                    continue
                number[group, step] += 1
                n = <double>number[group, step]
                if n == 1:
                    total[group, step] = values[row, step]
                    continue
                if not mean[group, step]:
                    now, rest = total[group, step], lost[group, step]
                    _add(values[row, step], &now, &rest)
                    if not isinf(now):
                        total[group, step] = now
                        lost[group, step] = rest
                        continue
                    mean[group, step] = 1
                    total[group, step] /= n - 1
                    lost[group, step] /= n - 1
                share = (n - 1) / n
                total[group, step] *= share
                lost[group, step] *= share
                _add(values[row, step] / n, &total[group, step], &lost[group, step])
        for group in range(count):
            for step in range(steps):
                if mean[group, step]:
                    total[group, step] += lost[group, step]
                elif number[group, step]:
                    n = <double>number[group, step]
                    total[group, step] = total[group, step] / n + lost[group, step] / n
    return answer


def extremes(
    const double[:, ::1] values, const uint8_t[:, ::1] present, const int64_t[::1] of, Py_ssize_t count, bint largest
):
    """NaN only where there is nothing else."""
    cdef Py_ssize_t rows = values.shape[0], steps = values.shape[1], row, step, group
    answer, begun = np.zeros((count, steps)), np.zeros((count, steps), np.uint8)
    cdef double[:, ::1] best = answer
    cdef uint8_t[:, ::1] seen = begun
    cdef double value
    with nogil:
        for row in range(rows):
            group = of[row]
            for step in range(steps):
                if not present[row, step]:
                    continue
                value = values[row, step]
                if not seen[group, step]:
                    seen[group, step] = 1
                    best[group, step] = value
                elif isnan(best[group, step]) or (
                    best[group, step] < value if largest else best[group, step] > value
                ):
                    best[group, step] = value
    return answer


def variances(const double[:, ::1] values, const uint8_t[:, ::1] present, const int64_t[::1] of, Py_ssize_t count):
    """Of the population, after Welford; NaN where the first value is NaN or infinite."""
    cdef Py_ssize_t rows = values.shape[0], steps = values.shape[1], row, step, group
    answer, means_, told = np.zeros((count, steps)), np.zeros((count, steps)), np.zeros((count, steps), np.int64)
    cdef double[:, ::1] squares = answer, mean = means_
    cdef int64_t[:, ::1] number = told
    cdef double value, delta
    with nogil:
        for row in range(rows):
            group = of[row]
            for step in range(steps):
                if not present[row, step]:
                    continue
                value = values[row, step]
                number[group, step] += 1
                if number[group, step] == 1:
                    mean[group, step] = value
                    squares[group, step] = NAN if isnan(value) or isinf(value) else 0
                else:
                    delta = value - mean[group, step]
                    mean[group, step] += delta / <double>number[group, step]
                    squares[group, step] += delta * (value - mean[group, step])
        for group in range(count):
            for step in range(steps):
                if number[group, step]:
                    squares[group, step] /= <double>number[group, step]
    return answer


def counts(const uint8_t[:, ::1] present, const int64_t[::1] of, Py_ssize_t count):
    """int64[groups, steps]: how many of each group are there."""
    cdef Py_ssize_t rows = present.shape[0], steps = present.shape[1], row, step, group
    answer = np.zeros((count, steps), np.int64)
    cdef int64_t[:, ::1] number = answer
    with nogil:
        for row in range(rows):
            group = of[row]
            for step in range(steps):
                number[group, step] += present[row, step] != 0
    return answer


cdef double _selected(double *held, Py_ssize_t size, Py_ssize_t wanted) noexcept nogil:
    """The value of that rank (Hoare's quickselect); afterwards no smaller one stands to its right."""
    cdef Py_ssize_t low = 0, high = size - 1, left, right
    cdef double pivot, swap
    while low < high:
        pivot = held[low + (high - low) // 2]
        left, right = low, high
        while left <= right:
            while held[left] < pivot:
                left += 1
            while held[right] > pivot:
                right -= 1
            if left <= right:
                swap = held[left]
                held[left] = held[right]
                held[right] = swap
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    return held[wanted]


def quantiles(
    const double[:, ::1] values,
    const uint8_t[:, ::1] present,
    const int64_t[::1] order,
    const int64_t[::1] starts,
    const double[::1] phi,
):
    """Group g is rows order[starts[g]:starts[g + 1]]; phi float64[steps]. NaN counts as smaller than all."""
    cdef Py_ssize_t groups = starts.shape[0] - 1, steps = values.shape[1], row, step, group, at
    cdef Py_ssize_t size, nans, lower, upper
    answer, room = np.zeros((groups, steps)), np.zeros(max(values.shape[0], 1))
    cdef double[:, ::1] out = answer
    cdef double[::1] held = room
    cdef double value, rank, weight, below, above
    with nogil:
        for group in range(groups):
            for step in range(steps):
                size = nans = 0
                for at in range(starts[group], starts[group + 1]):
                    row = order[at]
                    if present[row, step]:
                        value = values[row, step]
                        if isnan(value):
                            nans += 1
                        else:
                            held[size] = value
                            size += 1
                if size + nans == 0:
                    continue
                if isnan(phi[step]):
                    out[group, step] = NAN
                elif phi[step] < 0:
                    out[group, step] = -INFINITY
                elif phi[step] > 1:
                    out[group, step] = INFINITY
                else:
                    rank = phi[step] * <double>(size + nans - 1)
                    lower = <Py_ssize_t>floor(rank)
                    upper = min(lower + 1, size + nans - 1)
                    weight = rank - floor(rank)
                    if lower < nans:
                        out[group, step] = NAN
                        continue
                    below = above = _selected(&held[0], size, lower - nans)
                    if upper > lower:
                        above = held[upper - nans]
                        for at in range(upper - nans + 1, size):
                            if held[at] < above:
                                above = held[at]
                    out[group, step] = below * (1 - weight) + above * weight
    return answer


cdef inline bint _worse(double a, double b, bint largest) noexcept nogil:
    """Whether a goes before b when somebody must go; NaN goes first."""
    if isnan(a):
        return True
    return a < b if largest else a > b


def leading(
    const double[:, ::1] values,
    const uint8_t[:, ::1] present,
    const int64_t[::1] of,
    const int64_t[::1] starts,
    const int64_t[::1] k,
    bint largest,
):
    """uint8[rows, steps]: who is among the k[step] largest (or smallest) of the group.

    A heap with room for each group's members, the worst on top; starts int64[groups + 1] is where each has its room.
    The heap is that of Go's container/heap, so that of equals the same stay.
    """
    cdef Py_ssize_t rows = values.shape[0], steps = values.shape[1], groups = starts.shape[0] - 1
    cdef Py_ssize_t row, step, group, base, at, up, child, size
    chosen = np.zeros((rows, steps), np.uint8)
    sizes, room = np.zeros(max(groups, 1), np.int64), np.zeros(max(rows, 1), np.int64)
    cdef uint8_t[:, ::1] kept = chosen
    cdef int64_t[::1] taken = sizes, heap = room
    cdef double value
    cdef int64_t swap
    with nogil:
        for step in range(steps):
            if k[step] < 1:
                continue
            for group in range(groups):
                taken[group] = 0
            for row in range(rows):
                if not present[row, step]:
                    continue
                group = of[row]
                base = starts[group]
                size = taken[group]
                value = values[row, step]
                if size < k[step]:
                    heap[base + size] = row
                    taken[group] = size + 1
                    at = size
                    while at > 0:
                        up = (at - 1) // 2
                        if not _worse(values[heap[base + at], step], values[heap[base + up], step], largest):
                            break
                        swap = heap[base + at]
                        heap[base + at] = heap[base + up]
                        heap[base + up] = swap
                        at = up
                    continue
                if not (
                    (values[heap[base], step] < value if largest else values[heap[base], step] > value)
                    or (isnan(values[heap[base], step]) and not isnan(value))
                ):
                    continue
                heap[base] = row
                at = 0
                while True:
                    child = 2 * at + 1
                    if child >= size:
                        break
                    if child + 1 < size and _worse(
                        values[heap[base + child + 1], step], values[heap[base + child], step], largest
                    ):
                        child += 1
                    if not _worse(values[heap[base + child], step], values[heap[base + at], step], largest):
                        break
                    swap = heap[base + at]
                    heap[base + at] = heap[base + child]
                    heap[base + child] = swap
                    at = child
            for group in range(groups):
                for at in range(starts[group], starts[group] + taken[group]):
                    kept[heap[at], step] = 1
    return chosen


def first(const uint8_t[:, ::1] present, const int64_t[::1] of, Py_ssize_t count, const int64_t[::1] k):
    """uint8[rows, steps]: the first k[step] of each group."""
    cdef Py_ssize_t rows = present.shape[0], steps = present.shape[1], row, step, group
    chosen, told = np.zeros((rows, steps), np.uint8), np.zeros((count, steps), np.int64)
    cdef uint8_t[:, ::1] kept = chosen
    cdef int64_t[:, ::1] number = told
    with nogil:
        for row in range(rows):
            group = of[row]
            for step in range(steps):
                if present[row, step] and number[group, step] < k[step]:
                    number[group, step] += 1
                    kept[row, step] = 1
    return chosen


cdef uint64_t P1 = 0x9E3779B185EBCA87ULL
cdef uint64_t P2 = 0xC2B2AE3D27D4EB4FULL
cdef uint64_t P3 = 0x165667B19E3779F9ULL
cdef uint64_t P4 = 0x85EBCA77C2B2AE63ULL
cdef uint64_t P5 = 0x27D4EB2F165667C5ULL


cdef inline uint64_t _turned(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline uint64_t _round(uint64_t state, uint64_t word) noexcept nogil:
    return _turned(state + word * P2, 31) * P1


def xxh64(const uint8_t[::1] data not None):
    """XXH64 with seed 0 (Yann Collet's specification)."""
    cdef Py_ssize_t size = data.shape[0], at = 0
    cdef uint64_t a, b, c, d, state, word
    cdef uint32_t half
    if size >= 32:
        a, b, c, d = P1 + P2, P2, 0, 0 - P1
        while at + 32 <= size:
            memcpy(&word, &data[at], 8)
            a = _round(a, word)
            memcpy(&word, &data[at + 8], 8)
            b = _round(b, word)
            memcpy(&word, &data[at + 16], 8)
            c = _round(c, word)
            memcpy(&word, &data[at + 24], 8)
            d = _round(d, word)
            at += 32
        state = _turned(a, 1) + _turned(b, 7) + _turned(c, 12) + _turned(d, 18)
        for word in (a, b, c, d):
            state = (state ^ _round(0, word)) * P1 + P4
    else:
        state = P5
    state += <uint64_t>size
    while at + 8 <= size:
        memcpy(&word, &data[at], 8)
        state = _turned(state ^ _round(0, word), 27) * P1 + P4
        at += 8
    if at + 4 <= size:
        memcpy(&half, &data[at], 4)
        state = _turned(state ^ (half * P1), 23) * P2 + P3
        at += 4
    while at < size:
        state = _turned(state ^ (data[at] * P5), 11) * P1
        at += 1
    state = (state ^ (state >> 33)) * P2
    state = (state ^ (state >> 29)) * P3
    return state ^ (state >> 32)
