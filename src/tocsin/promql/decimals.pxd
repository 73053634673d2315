# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The shortest decimal that is read as the same float64, and of those the nearest.

Source: R. Giulietti, The Schubfach way to render doubles (2020); the names in it are the paper's. `tables` fills in the
powers of ten before the first use.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #define TOCSIN_POWER_MIN (-292)
    #define TOCSIN_POWERS 617
    typedef struct { uint64_t high, low; } TocsinPower;
    static TocsinPower tocsin_powers[TOCSIN_POWERS];  /* 10^k, 128 bits of it, rounded up */
    static inline uint64_t tocsin_round_to_odd(TocsinPower g, uint64_t cp) {
        __uint128_t low = (__uint128_t)g.low * cp;
        __uint128_t sum = (__uint128_t)g.high * cp + (uint64_t)(low >> 64);
        return (uint64_t)(sum >> 64) | ((uint64_t)sum > 1);
    }
    """
    ctypedef struct Power "TocsinPower":
        uint64_t high
        uint64_t low
    Power powers "tocsin_powers"[617]
    const int POWER_MIN "TOCSIN_POWER_MIN"
    const int POWERS "TOCSIN_POWERS"
    uint64_t _round_to_odd "tocsin_round_to_odd" (Power g, uint64_t cp) nogil


cdef struct Decimal:
    uint64_t digits  # no zero at the end, unless it is 0
    int exponent


cdef inline Decimal _stripped(uint64_t digits, int exponent) noexcept nogil:
    while digits and digits % 10 == 0:
        digits //= 10
        exponent += 1
    return Decimal(digits, exponent)


cdef inline Decimal shortest(double value) noexcept nogil:
    """Of a finite number's absolute value."""
    cdef uint64_t bits, fraction, c, s, tenth, lower, upper, middle
    cdef int exponent, q, k, h
    cdef bint odd, closer, down, up
    cdef Power g
    memcpy(&bits, &value, 8)
    fraction = bits & 0xFFFFFFFFFFFFFULL
    exponent = (bits >> 52) & 0x7FF
    if exponent == 0 and fraction == 0:
        return Decimal(0, 0)
    c = fraction | (0x10000000000000ULL if exponent else 0)
    q = exponent - 1075 if exponent else -1074
    if -53 < q <= 0 and c & ((1ULL << -q) - 1) == 0:  # an integer below 2^53
        return _stripped(c >> -q, 0)
    odd = c & 1
    closer = fraction == 0 and exponent > 1  # the float below is half as far away as the one above
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    g = powers[-k - POWER_MIN]
    lower = _round_to_odd(g, (4 * c - 2 + closer) << h) + odd
    middle = _round_to_odd(g, (4 * c) << h)
    upper = _round_to_odd(g, (4 * c + 2) << h) - odd
    s = middle >> 2
    if s >= 10:
        tenth = s // 10
        down = lower <= 40 * tenth
        up = 40 * tenth + 40 <= upper
        if down != up:
            return _stripped(tenth + up, k + 1)
    down = lower <= 4 * s
    up = 4 * s + 4 <= upper
    if down != up:
        return _stripped(s + up, k)
    if (middle & 3) + (s & 1) > 2:  # past the middle between the two, or in it, where the even one is taken
        s += 1
    return _stripped(s, k)
