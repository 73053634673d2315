# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `windows`: each series' samples, reduced to one value for each moment of a grid.

A window (t - range, t] is the samples [first, stop) of its series. For a series, all windows are found first (`_look`),
so that 0 ≤ first ≤ stop ≤ size holds for each of them, and neither ever falls from one moment to the next; then one
reducer goes over them, and reads nothing outside. Stale markers are taken out before: a series with any in a window is
copied without them. Memory is taken once for each call, for the longest of the series.

The numbers are those of Prometheus 3 (promql/functions.go), to the last bit: sums are made in its order, with its
compensation. So a sum over a window is made anew for each moment, and what can be counted or compared is not.
"""

from libc.math cimport NAN, isinf, sqrt
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

from tocsin.promql.counters cimport changes, delta, idelta, increase, irate, rate, resets
from tocsin.promql.extremes cimport largest, smallest, time_of_largest, time_of_smallest
from tocsin.promql.quantiles cimport deviation, quantile
from tocsin.promql.sums cimport Sum, add
from tocsin.promql.work cimport STALE, Work, bits, each, has_stale, look, put, without_stale

cdef double _sum(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef Sum total = Sum(0.0, 0.0)
    cdef Py_ssize_t at
    for at in range(low, high):
        add(&total, work.values[at])
    return total.sum if isinf(total.sum) else total.sum + total.rest


cdef double _mean(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    """Of the sum, as long as that is finite; from there on from one mean to the next."""
    cdef Sum total = Sum(work.values[low], 0.0), longer
    cdef Py_ssize_t at = low + 1
    cdef double count = <double>(high - low), share
    while at < high:
        longer = total
        add(&longer, work.values[at])
        if isinf(longer.sum):
            break
        total = longer
        at += 1
    else:
        return total.sum / count + total.rest / count
    count = <double>(at - low)
    total.sum /= count
    total.rest /= count
    while at < high:
        count += 1.0
        share = (count - 1.0) / count
        total.sum *= share
        total.rest *= share
        add(&total, work.values[at] / count)
        at += 1
    return total.sum + total.rest


cdef double _variance(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef Sum mean = Sum(0.0, 0.0), squares = Sum(0.0, 0.0)
    cdef Py_ssize_t at
    cdef double count = 0.0, distance
    for at in range(low, high):
        count += 1.0
        distance = work.values[at] - (mean.sum + mean.rest)
        add(&mean, distance / count)
        add(&squares, distance * (work.values[at] - (mean.sum + mean.rest)))
    return (squares.sum + squares.rest) / count


cdef double _deviation(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return sqrt(_variance(work, moment, low, high))


# Lines and curves ----------------------------------------------------------------------------------------------------


cdef struct Line:
    double slope
    double height


cdef Line _line(const Work *work, Py_ssize_t low, Py_ssize_t high, int64_t origin) noexcept nogil:
    """The line of least squares, by the second, and its height at the origin (ms)."""
    cdef Sum x = Sum(0.0, 0.0), y = Sum(0.0, 0.0), xy = Sum(0.0, 0.0), xx = Sum(0.0, 0.0)
    cdef Py_ssize_t at
    cdef double seconds, value, count = <double>(high - low), covariance, variance, sum_x, sum_y, slope
    cdef bint flat = True
    for at in range(low, high):
        value = work.values[at]
        flat = flat and (at == low or value == work.values[low])
        seconds = <double>(work.times[at] - origin) / 1e3
        add(&x, seconds)
        add(&y, value)
        add(&xy, seconds * value)
        add(&xx, seconds * seconds)
    if flat:
        value = work.values[low]
        return Line(NAN, NAN) if isinf(value) else Line(0.0, value)
    sum_x = x.sum + x.rest
    sum_y = y.sum + y.rest
    covariance = (xy.sum + xy.rest) - sum_x * sum_y / count
    variance = (xx.sum + xx.rest) - sum_x * sum_x / count
    slope = covariance / variance
    return Line(slope, sum_y / count - slope * sum_x / count)


cdef double _deriv(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return _line(work, low, high, work.times[low]).slope


cdef double _predict(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef int64_t now = work.start + moment * work.step + <int64_t>work.two[moment * work.two_stride]
    cdef Line line = _line(work, low, high, now)
    return line.slope * work.one[moment * work.one_stride] + line.height


cdef double _smooth(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef double smoothing = work.one[moment * work.one_stride], trending = work.two[moment * work.two_stride]
    cdef double before = 0.0, level = work.values[low], trend = work.values[low + 1] - work.values[low], risen
    cdef Py_ssize_t at
    for at in range(low + 1, high):
        if at > low + 1:
            trend = trending * (level - before) + (1 - trending) * trend
        risen = (1 - smoothing) * (level + trend)
        before = level
        level = smoothing * work.values[at] + risen
    return level


# Single samples ------------------------------------------------------------------------------------------------------


cdef double _count(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return <double>(high - low)


cdef double _present(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return 1.0


cdef double _first(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return work.values[low]


cdef double _last(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return work.values[high - 1]


cdef double _ts_of_first(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return <double>work.times[low] / 1000


cdef double _ts_of_last(const Work *work, Py_ssize_t moment, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return <double>work.times[high - 1] / 1000


cdef void _newest(const Work *work, bint timed) noexcept nogil:
    """The last sample; a stale marker that is the last one ends the series."""
    cdef Py_ssize_t moment, last
    for moment in range(work.count):
        last = work.stop[moment] - 1
        if last >= work.first[moment] and bits(&work.values[last]) != STALE:
            put(work, moment, <double>work.times[last] / 1000 if timed else work.values[last])


# The door ------------------------------------------------------------------------------------------------------------


cdef enum:
    RATE
    INCREASE
    DELTA
    IRATE
    IDELTA
    DERIV
    PREDICT_LINEAR
    CHANGES
    RESETS
    AVG
    SUM
    MIN
    MAX
    COUNT
    FIRST
    LAST
    PRESENT
    QUANTILE
    STDDEV
    STDVAR
    MAD
    SMOOTHING
    TS_OF_MIN
    TS_OF_MAX
    TS_OF_FIRST
    TS_OF_LAST
    NEWEST
    NEWEST_TIME


CODES = {
    "rate": RATE,
    "increase": INCREASE,
    "delta": DELTA,
    "irate": IRATE,
    "idelta": IDELTA,
    "deriv": DERIV,
    "predict_linear": PREDICT_LINEAR,
    "changes": CHANGES,
    "resets": RESETS,
    "avg_over_time": AVG,
    "sum_over_time": SUM,
    "min_over_time": MIN,
    "max_over_time": MAX,
    "count_over_time": COUNT,
    "first_over_time": FIRST,
    "last_over_time": LAST,
    "present_over_time": PRESENT,
    "quantile_over_time": QUANTILE,
    "stddev_over_time": STDDEV,
    "stdvar_over_time": STDVAR,
    "mad_over_time": MAD,
    "double_exponential_smoothing": SMOOTHING,
    "holt_winters": SMOOTHING,
    "ts_of_min_over_time": TS_OF_MIN,
    "ts_of_max_over_time": TS_OF_MAX,
    "ts_of_first_over_time": TS_OF_FIRST,
    "ts_of_last_over_time": TS_OF_LAST,
    "newest": NEWEST,
    "newest_time": NEWEST_TIME,
}


cdef void _run(int code, Work *work) noexcept nogil:
    """One series."""
    look(work)
    if code == NEWEST or code == NEWEST_TIME:
        _newest(work, code == NEWEST_TIME)
        return
    if has_stale(work):
        without_stale(work)
    if code == RATE:
        rate(work)
    elif code == INCREASE:
        increase(work)
    elif code == DELTA:
        each(work, delta, 2)
    elif code == IRATE:
        each(work, irate, 2)
    elif code == IDELTA:
        each(work, idelta, 2)
    elif code == DERIV:
        each(work, _deriv, 2)
    elif code == PREDICT_LINEAR:
        each(work, _predict, 2)
    elif code == CHANGES:
        changes(work)
    elif code == RESETS:
        resets(work)
    elif code == AVG:
        each(work, _mean, 1)
    elif code == SUM:
        each(work, _sum, 1)
    elif code == MIN:
        smallest(work)
    elif code == MAX:
        largest(work)
    elif code == COUNT:
        each(work, _count, 1)
    elif code == FIRST:
        each(work, _first, 1)
    elif code == LAST:
        each(work, _last, 1)
    elif code == PRESENT:
        each(work, _present, 1)
    elif code == QUANTILE:
        quantile(work)
    elif code == STDDEV:
        each(work, _deviation, 1)
    elif code == STDVAR:
        each(work, _variance, 1)
    elif code == MAD:
        each(work, deviation, 1)
    elif code == SMOOTHING:
        each(work, _smooth, 2)
    elif code == TS_OF_MIN:
        time_of_smallest(work)
    elif code == TS_OF_MAX:
        time_of_largest(work)
    elif code == TS_OF_FIRST:
        each(work, _ts_of_first, 1)
    elif code == TS_OF_LAST:
        each(work, _ts_of_last, 1)


cdef Py_ssize_t _longest(const int64_t[::1] offsets, Py_ssize_t samples) except -1:
    """The number of samples of the longest series; ValueError where the offsets leave the samples."""
    cdef Py_ssize_t at, longest = 0
    if offsets.shape[0] < 1 or offsets[0] < 0:
        raise ValueError("offsets begin at 0 or later")
    for at in range(offsets.shape[0] - 1):
        if offsets[at + 1] < offsets[at]:
            raise ValueError("offsets never fall")
        longest = max(longest, offsets[at + 1] - offsets[at])
    if offsets[offsets.shape[0] - 1] > samples:
        raise ValueError("offsets go past the samples")
    return longest


def reduce_into(
    int code,
    const int64_t[::1] offsets,
    const int64_t[::1] times,
    const double[::1] values,
    int64_t start,
    int64_t step,
    Py_ssize_t count,
    int64_t range_ms,
    const double[::1] one,
    const double[::1] two,
    double[:, ::1] out,
    uint8_t[:, ::1] present,
    Py_ssize_t row,
):
    """Writes the rows row… of out and present: one for each series of the offsets, a column for each moment.

    `one` and `two` are the parameters, of one number or one a moment. Moments and the beginnings of their windows must
    fit into int64. Raises ValueError where shapes do not fit one another.
    """
    cdef Py_ssize_t series = offsets.shape[0] - 1, longest = _longest(offsets, times.shape[0]), at, moment
    cdef Work work
    cdef char *memory
    if times.shape[0] != values.shape[0]:
        raise ValueError("times and values differ in length")
    if code < 0 or code > NEWEST_TIME or step < 0 or count < 1 or range_ms < 0:
        raise ValueError("no such function or grid")
    if one.shape[0] not in (1, count) or two.shape[0] not in (1, count):
        raise ValueError("a parameter is one number, or one for each moment")
    if out.shape[1] != count or present.shape[1] != count or row < 0:
        raise ValueError("out and present have a column for each moment")
    if out.shape[0] - row < series or present.shape[0] - row < series:
        raise ValueError("out and present have no room for these series")
    if series == 0:
        return
    memory = <char *>malloc((4 * longest + 1 + 2 * count) * 8)
    if memory == NULL:
        raise MemoryError
    work.start, work.step, work.range_ms, work.count = start, step, range_ms, count
    work.range_s = <double>(range_ms // 1000) + <double>(range_ms % 1000 * 1000000) / 1e9  # as Go rounds it
    work.one, work.one_stride = &one[0], one.shape[0] > 1
    work.two, work.two_stride = &two[0], two.shape[0] > 1
    work.first = <Py_ssize_t *>memory
    work.stop = work.first + count
    work.marks = work.stop + count
    work.numbers = <double *>(work.marks + longest + 1)
    work.kept_values = work.numbers + longest
    work.kept_times = <int64_t *>(work.kept_values + longest)
    with nogil:
        for at in range(series):
            work.out, work.present = &out[row + at, 0], &present[row + at, 0]
            for moment in range(count):
                work.out[moment] = NAN
                work.present[moment] = 0
            work.size = offsets[at + 1] - offsets[at]
            if work.size:
                work.times, work.values = &times[offsets[at]], &values[offsets[at]]
                _run(code, &work)
    free(memory)
