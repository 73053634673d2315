"""What every function takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.promql.ast import ValueType

_S, _V, _M, _T = ValueType.SCALAR, ValueType.VECTOR, ValueType.MATRIX, ValueType.STRING


@dataclass(frozen=True, slots=True)
class Signature:
    """`takes` are the types of the arguments, of which the last `optional` may be left out.

    With `repeated` the last one may come any number of times, also never.
    """

    takes: tuple[ValueType, ...]
    gives: ValueType = _V
    optional: int = 0
    repeated: bool = False

    @property
    def least(self) -> int:
        return len(self.takes) - self.optional - self.repeated

    @property
    def most(self) -> int | None:
        return None if self.repeated else len(self.takes)


_VECTOR = Signature((_V,))
_DATE = Signature((_V,), optional=1)
_RANGE = Signature((_M,))

SIGNATURES: dict[str, Signature] = {
    **dict.fromkeys(
        (
            *("abs", "absent", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg", "exp"),
            *("floor", "ln", "log10", "log2", "rad", "sgn", "sin", "sinh", "sort", "sort_desc", "sqrt", "tan", "tanh"),
            *("timestamp", "histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"),
        ),
        _VECTOR,
    ),
    **dict.fromkeys(
        (*("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"),),
        _DATE,
    ),
    **dict.fromkeys(
        (
            *("absent_over_time", "avg_over_time", "changes", "count_over_time", "delta", "deriv", "first_over_time"),
            *("idelta", "increase", "irate", "last_over_time", "mad_over_time", "max_over_time", "min_over_time"),
            *("present_over_time", "rate", "resets", "stddev_over_time", "stdvar_over_time", "sum_over_time"),
            *("ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time"),
        ),
        _RANGE,
    ),
    "clamp": Signature((_V, _S, _S)),
    "clamp_max": Signature((_V, _S)),
    "clamp_min": Signature((_V, _S)),
    "double_exponential_smoothing": Signature((_M, _S, _S)),
    "holt_winters": Signature((_M, _S, _S)),
    "histogram_fraction": Signature((_S, _S, _V)),
    "histogram_quantile": Signature((_S, _V)),
    "label_join": Signature((_V, _T, _T, _T), repeated=True),
    "label_replace": Signature((_V, _T, _T, _T, _T)),
    "pi": Signature((), _S),
    "predict_linear": Signature((_M, _S)),
    "quantile_over_time": Signature((_S, _M)),
    "round": Signature((_V, _S), optional=1),
    "scalar": Signature((_V,), _S),
    "sort_by_label": Signature((_V, _T), repeated=True),
    "sort_by_label_desc": Signature((_V, _T), repeated=True),
    "time": Signature((), _S),
    "vector": Signature((_S,)),
}

AGGREGATIONS: dict[str, ValueType | None] = {
    **dict.fromkeys(("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"), None),
    **dict.fromkeys(("topk", "bottomk", "quantile", "limitk", "limit_ratio"), _S),
    "count_values": _T,
}
"""The type of the parameter of each, None where there is none."""

EXPERIMENTAL = frozenset(("end", "histogram_quantiles", "info", "integral", "range", "start", "step"))
"""Functions behind feature flags of Prometheus that are not here; those that are here need no flag."""
