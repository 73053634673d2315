# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Numbers as text, for `points`: into memory of the longest answer's size, without a Python object for a point."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.math cimport fabs, isinf, isnan
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from tocsin.promql.decimals cimport POWER_MIN, POWERS, Decimal, powers, shortest

cdef enum:
    TIME_ROOM = 32  # [-9223372036854775.808," are 24
    VALUE_ROOM = 32  # -0.00000123456789012345678 and -1.2345678901234567e-308 are 26 at most
    POINT_ROOM = TIME_ROOM + VALUE_ROOM + 4


def _fill_powers() -> None:
    """10^k · 2^n as integers of 128 bits, rounded up."""
    for at in range(POWERS):
        k = POWER_MIN + at
        shift = 127 - ((k * 1741647) >> 19)
        if k >= 0:
            power = 10**k
            power = power << shift if shift >= 0 else -(-power >> -shift)
        else:
            power = -(-(1 << shift) // 10**-k)
        powers[at].high = power >> 64
        powers[at].low = power & 0xFFFFFFFFFFFFFFFF


_fill_powers()


cdef inline int _digits(char *to, uint64_t number) noexcept nogil:
    """How many were written: 20 at most."""
    cdef char reversed_[20]
    cdef int count = 0, at
    while True:
        reversed_[count] = <char>(48 + number % 10)
        number //= 10
        count += 1
        if number == 0:
            break
    for at in range(count):
        to[at] = reversed_[count - 1 - at]
    return count


cdef inline int _scientific(char *to, char *digits, int count, int exponent) noexcept nogil:
    """d.ddde±xx, of the number d.ddd · 10^exponent."""
    cdef int size = 1
    to[0] = digits[0]
    if count > 1:
        to[1] = b"."
        memcpy(to + 2, digits + 1, count - 1)
        size = count + 1
    to[size] = b"e"
    to[size + 1] = b"-" if exponent < 0 else b"+"
    exponent = -exponent if exponent < 0 else exponent
    size += 2
    if exponent < 10:
        to[size] = b"0"
        size += 1
    return size + _digits(to + size, exponent)


cdef inline int _plain(char *to, char *digits, int count, int whole) noexcept nogil:
    """The digits, of which so many stand before the point; -5 ≤ whole ≤ 21."""
    if whole <= 0:
        memcpy(to, b"0.00000", 2 - whole)
        memcpy(to + 2 - whole, digits, count)
        return 2 - whole + count
    if whole >= count:
        memcpy(to, digits, count)
        memset(to + count, 48, whole - count)
        return whole
    memcpy(to, digits, whole)
    to[whole] = b"."
    memcpy(to + whole + 1, digits + whole, count - whole)
    return count + 1


cdef int _value(char *to, double value) noexcept nogil:
    """How many bytes were written: VALUE_ROOM at most."""
    cdef char digits[20]
    cdef int count, sign = 0
    cdef uint64_t bits
    cdef Decimal decimal
    if isnan(value):
        memcpy(to, b"NaN", 3)
        return 3
    if isinf(value):
        memcpy(to, b"+Inf" if value > 0 else b"-Inf", 4)
        return 4
    memcpy(&bits, &value, 8)
    if bits >> 63:
        to[0] = b"-"
        sign = 1
        value = -value
    decimal = shortest(value)
    count = _digits(digits, decimal.digits)
    if value != 0 and (value < 1e-6 or value >= 1e21):
        return sign + _scientific(to + sign, digits, count, count + decimal.exponent - 1)
    return sign + _plain(to + sign, digits, count, count + decimal.exponent)


cdef int _time(char *to, int64_t time) noexcept nogil:
    """How many bytes were written: 21 at most."""
    cdef uint64_t ms = <uint64_t>time
    cdef int size = 0, part
    if time < 0:
        to[0] = b"-"
        ms = 0 - ms
        size = 1
    size += _digits(to + size, ms // 1000)
    part = ms % 1000
    if part:
        to[size] = b"."
        to[size + 1] = <char>(48 + part // 100)
        to[size + 2] = <char>(48 + part // 10 % 10)
        to[size + 3] = <char>(48 + part % 10)
        size += 4
    return size


cdef inline int _opened(char *to, int64_t time) noexcept nogil:
    """`[time,"`"""
    cdef int size
    to[0] = b"["
    size = 1 + _time(to + 1, time)
    to[size] = b","
    to[size + 1] = b'"'
    return size + 2


cdef inline Py_ssize_t _closed(char *to, double value) noexcept nogil:
    """`value"]`"""
    cdef int size = _value(to, value)
    to[size] = b'"'
    to[size + 1] = b"]"
    return size + 2


cdef Py_ssize_t _row(
    char *to, const char *times, const uint8_t *sizes, const double *values, const uint8_t *present, Py_ssize_t count
) noexcept nogil:
    cdef Py_ssize_t at, size = 1
    to[0] = b"["
    for at in range(count):
        if present[at]:
            if size > 1:
                to[size] = b","
                size += 1
            memcpy(to + size, times + at * TIME_ROOM, TIME_ROOM)
            size += sizes[at]
            size += _closed(to + size, values[at])
    to[size] = b"]"
    return size + 1


def rows(const int64_t[::1] times, const double[:, ::1] values, const uint8_t[:, ::1] present) -> list:
    """Of each series `[[time,"value"],…]` with the points that are present; times in ms, one for each column."""
    cdef Py_ssize_t count = times.shape[0], at, size
    cdef char *memory
    cdef char *text
    cdef uint8_t *sizes
    if values.shape[1] != count or present.shape[1] != count or present.shape[0] != values.shape[0]:
        raise ValueError("values and present have a column for each time")
    if count == 0:
        return [b"[]"] * values.shape[0]
    memory = <char *>malloc(count * (TIME_ROOM + 1 + POINT_ROOM) + TIME_ROOM)
    if memory == NULL:
        raise MemoryError
    sizes = <uint8_t *>(memory + count * TIME_ROOM)
    text = <char *>(sizes + count)
    found = []
    try:
        for at in range(count):
            sizes[at] = <uint8_t>_opened(memory + at * TIME_ROOM, times[at])
        for at in range(values.shape[0]):
            with nogil:
                size = _row(text, memory, sizes, &values[at, 0], &present[at, 0], count)
            found.append(PyBytes_FromStringAndSize(text, size))
    finally:
        free(memory)
    return found


def singles(int64_t time, const double[::1] values) -> list:
    cdef char text[POINT_ROOM]
    cdef int opened = _opened(text, time)
    cdef Py_ssize_t at
    return [
        PyBytes_FromStringAndSize(text, opened + _closed(text + opened, values[at])) for at in range(values.shape[0])
    ]


def texts(const double[::1] values) -> list:
    cdef char text[VALUE_ROOM]
    cdef Py_ssize_t at
    return [PyBytes_FromStringAndSize(text, _value(text, values[at])) for at in range(values.shape[0])]
