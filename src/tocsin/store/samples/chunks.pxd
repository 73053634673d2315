# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Up to CHUNK_MAX samples of one series, packed: what `head` is made of.

Times and values are whole numbers, kept as what they are above the least of them, or as the differences from one to
the next above the least difference, whichever is narrower: 0, 1, 2, 4 or 8 bytes each. Values are m / 10^exponent,
proven to give back the same bits when they are packed, or the bits themselves. See store.samples.decimal.
Arithmetic is modulo 2^64, so that no difference can overflow.
"""

from libc.math cimport fabs, rint
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy

cdef enum:
    CHUNK_MAX = 256
    BITS = 19  # the exponent of values that are kept as their bits
    EXPONENT_MAX = 18

cdef extern from *:
    """
    static const double tocsin_tens[19] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13,
                                           1e14, 1e15, 1e16, 1e17, 1e18};
    """
    const double tens "tocsin_tens"[19]

cdef struct Packing:
    int64_t first
    int64_t least
    uint8_t width
    uint8_t differences

cdef struct Chunk:
    int64_t last_time
    Packing times
    Packing values
    uint16_t count
    int8_t exponent


cdef inline int width_of(uint64_t span) noexcept nogil:
    if span == 0:
        return 0
    if span <= 0xFF:
        return 1
    if span <= 0xFFFF:
        return 2
    return 4 if span <= 0xFFFFFFFFULL else 8


cdef inline Packing packing(const int64_t *what, int count) noexcept nogil:
    cdef Packing found
    cdef int64_t low = what[0], high = what[0], least = INT64_MAX, most = INT64_MIN, step
    cdef int at, plain, stepped
    for at in range(1, count):
        low = min(low, what[at])
        high = max(high, what[at])
        step = <int64_t>(<uint64_t>what[at] - <uint64_t>what[at - 1])
        least = min(least, step)
        most = max(most, step)
    if count == 1:
        least = most = 0
    plain = width_of(<uint64_t>high - <uint64_t>low)
    stepped = width_of(<uint64_t>most - <uint64_t>least)
    found.first = what[0]
    found.differences = stepped < plain
    found.width = stepped if found.differences else plain
    found.least = least if found.differences else low
    return found


cdef inline size_t room(Packing how, int count) noexcept nogil:
    return (<size_t>how.width * (count - how.differences) + 7) & ~<size_t>7


cdef inline void put(Packing how, const int64_t *what, int count, void *to) noexcept nogil:
    cdef int at, number = count - how.differences
    cdef uint64_t least = <uint64_t>how.least
    cdef uint64_t over[CHUNK_MAX]
    if how.width == 0:
        return
    if how.differences:
        for at in range(number):
            over[at] = <uint64_t>what[at + 1] - <uint64_t>what[at] - least
    else:
        for at in range(number):
            over[at] = <uint64_t>what[at] - least
    if how.width == 1:
        for at in range(number):
            (<uint8_t *>to)[at] = <uint8_t>over[at]
    elif how.width == 2:
        for at in range(number):
            (<uint16_t *>to)[at] = <uint16_t>over[at]
    elif how.width == 4:
        for at in range(number):
            (<uint32_t *>to)[at] = <uint32_t>over[at]
    else:
        memcpy(to, over, number * 8)


cdef inline void take(Packing how, const void *kept, int count, int64_t *to) noexcept nogil:
    cdef int at, number = count - how.differences
    cdef uint64_t least = <uint64_t>how.least, now
    cdef uint64_t *out = (<uint64_t *>to) + how.differences
    if how.width == 0:
        for at in range(number):
            out[at] = least
    elif how.width == 1:
        for at in range(number):
            out[at] = least + (<const uint8_t *>kept)[at]
    elif how.width == 2:
        for at in range(number):
            out[at] = least + (<const uint16_t *>kept)[at]
    elif how.width == 4:
        for at in range(number):
            out[at] = least + (<const uint32_t *>kept)[at]
    else:
        for at in range(number):
            out[at] = least + (<const uint64_t *>kept)[at]
    if how.differences:
        now = <uint64_t>how.first
        to[0] = how.first
        for at in range(number):
            now += out[at]
            out[at] = now


cdef inline size_t size_of(const Chunk *chunk) noexcept nogil:
    return sizeof(Chunk) + room(chunk.times, chunk.count) + room(chunk.values, chunk.count)


cdef inline Chunk *packed(const int64_t *times, const int64_t *m, int count, int exponent) noexcept nogil:
    """NULL where there is no memory."""
    cdef Packing of_times = packing(times, count), of_values = packing(m, count)
    cdef size_t before = sizeof(Chunk) + room(of_times, count)
    cdef Chunk *chunk = <Chunk *>malloc(before + room(of_values, count))
    if chunk == NULL:
        return NULL
    chunk.last_time = times[count - 1]
    chunk.times, chunk.values = of_times, of_values
    chunk.count, chunk.exponent = <uint16_t>count, <int8_t>exponent
    put(of_times, times, count, <char *>chunk + sizeof(Chunk))
    put(of_values, m, count, <char *>chunk + before)
    return chunk


cdef inline void unpack_times(const Chunk *chunk, int64_t *times) noexcept nogil:
    take(chunk.times, <const char *>chunk + sizeof(Chunk), chunk.count, times)


cdef inline void unpack_numbers(const Chunk *chunk, int64_t *m) noexcept nogil:
    take(chunk.values, <const char *>chunk + sizeof(Chunk) + room(chunk.times, chunk.count), chunk.count, m)


cdef inline void unpack_values(const Chunk *chunk, double *values) noexcept nogil:
    cdef int64_t m[CHUNK_MAX]
    cdef double ten
    cdef int at
    unpack_numbers(chunk, m)
    if chunk.exponent == BITS:
        memcpy(values, m, chunk.count * 8)
        return
    if chunk.exponent == 0:
        for at in range(chunk.count):
            values[at] = <double>m[at]
        return
    ten = tens[chunk.exponent]
    for at in range(chunk.count):
        values[at] = <double>m[at] / ten


cdef inline bint scaled(const double *values, int count, int exponent, int64_t *m) noexcept nogil:
    """Whether every value comes back to the bit from m / 10^exponent."""
    cdef double ten = tens[exponent], whole, back
    cdef int64_t came, comes
    cdef int at
    for at in range(count):
        whole = rint(values[at] * ten)
        if not fabs(whole) <= 9007199254740992.0:
            return False
        m[at] = <int64_t>whole
        back = <double>m[at] / ten
        memcpy(&came, values + at, 8)
        memcpy(&comes, &back, 8)
        if came != comes:
            return False
    return True


cdef inline int exponent_of(const double *values, int count, int hint, int64_t *m) noexcept nogil:
    """An exponent that fits them all, the hint if it does; m int64[count] is what they are in it."""
    cdef int exponent
    if hint != BITS and scaled(values, count, hint, m):
        return hint
    for exponent in range(EXPONENT_MAX + 1):
        if scaled(values, count, exponent, m):
            return exponent
    memcpy(m, values, count * 8)
    return BITS
