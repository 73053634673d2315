"""Functions over instant vectors at one moment, written to be obvious."""

from __future__ import annotations

import calendar
import datetime as dt
import math
import re
from collections.abc import Callable, Sequence

from tests.promql.reference.aggregation import grouped
from tests.promql.reference.instant import Sample, nameless, unique

FLOOR_OF: dict[str, Callable[[float], float]] = {"floor": math.floor, "ceil": math.ceil}


def call(name: str, args: Sequence[object], at_ms: int) -> list[Sample] | float:
    """`args` are vectors, floats and strings. Raises RefusedError."""
    match name:
        case "time":
            return at_ms / 1000
        case "pi":
            return math.pi
        case "scalar":
            (vector,) = args
            assert isinstance(vector, list)
            return vector[0][1] if len(vector) == 1 else math.nan
        case "vector":
            assert isinstance(args[0], float)
            return [({}, args[0])]
        case "label_replace" | "label_join":
            return labelled(name, args)
        case "histogram_quantile" | "histogram_fraction":
            return histograms(name, args)
        case "sort" | "sort_desc":
            return list(vector_of(args[0]))
        case _ if name in DATES and not args:
            return [({}, DATES[name](dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC)))]
        case _:
            return changed(name, vector_of(args[0]), [float_of(arg) for arg in args[1:]], at_ms)


def vector_of(value: object) -> list[Sample]:
    assert isinstance(value, list)
    return value


def float_of(value: object) -> float:
    assert isinstance(value, float)
    return value


def changed(name: str, vector: list[Sample], params: list[float], at_ms: int) -> list[Sample]:
    if name == "clamp" and params[1] < params[0]:
        return []
    if name == "timestamp":
        return unique([(nameless(labels), at_ms / 1000) for labels, _ in vector])
    if name in DATES:
        return unique([(nameless(labels), dated(name, value)) for labels, value in vector])
    return unique([(nameless(labels), number(name, value, *params)) for labels, value in vector])


DATES: dict[str, Callable[[dt.datetime], float]] = {
    "minute": lambda at: at.minute,
    "hour": lambda at: at.hour,
    "day_of_month": lambda at: at.day,
    "day_of_week": lambda at: at.isoweekday() % 7,
    "day_of_year": lambda at: at.timetuple().tm_yday,
    "days_in_month": lambda at: calendar.monthrange(at.year, at.month)[1],
    "month": lambda at: at.month,
    "year": lambda at: at.year,
}


def dated(name: str, value: float) -> float:
    if not math.isfinite(value):
        return math.nan
    return float(DATES[name](dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=int(value))))


def number(name: str, value: float, *params: float) -> float:
    match name:
        case "abs":
            return abs(value)
        case "sgn":
            return value if value == 0 or math.isnan(value) else math.copysign(1, value)
        case "floor" | "ceil":
            return float(FLOOR_OF[name](value)) if math.isfinite(value) else value
        case "round":
            return rounded(value, *params)
        case "clamp":
            return larger(params[0], smaller(params[1], value))
        case "clamp_min":
            return larger(params[0], value)
        case "clamp_max":
            return smaller(params[0], value)
        case "deg":
            return value * 180 / math.pi
        case "rad":
            return value * math.pi / 180
        case "ln" | "log2" | "log10":
            return logarithm(name, value)
        case "sqrt":
            return math.sqrt(value) if value >= 0 else math.nan
        case _:
            return other(name, value)


def rounded(value: float, nearest: float = 1.0) -> float:
    inverse = 1.0 / nearest
    scaled = value * inverse + 0.5
    return (float(math.floor(scaled)) if math.isfinite(scaled) else scaled) / inverse


def logarithm(name: str, value: float) -> float:
    if value == 0:
        return -math.inf
    of = {"ln": math.log, "log2": math.log2, "log10": math.log10}[name]
    return math.nan if value < 0 else of(value)


def other(name: str, value: float) -> float:
    try:
        return float(getattr(math, name)(value))
    except OverflowError:
        return math.copysign(math.inf, value) if name == "sinh" else math.inf
    except ValueError:
        return math.copysign(math.inf, value) if name == "atanh" and abs(value) == 1 else math.nan


def larger(a: float, b: float) -> float:
    if math.inf in (a, b):
        return math.inf
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)


def smaller(a: float, b: float) -> float:
    return -larger(-a, -b)


def labelled(name: str, args: Sequence[object]) -> list[Sample]:
    vector, target, *rest = args
    texts = [str(each) for each in rest]
    out = []
    for labels, value in vector_of(vector):
        new: str | None
        if name == "label_join":
            separator, *sources = texts
            new = separator.join(labels.get(source, "") for source in sources)
        else:
            replacement, source, pattern = texts
            found = re.fullmatch(pattern, labels.get(source, ""), re.DOTALL)
            new = None if found is None else expand(replacement, found)
        changed_ = dict(labels) if new is None else {**labels, str(target): new}
        out.append(({label: text for label, text in changed_.items() if text}, value))
    return unique(out)


def expand(template: str, found: re.Match[str]) -> str:
    """`$1`, `${1}` and `$$`."""

    def put(reference: re.Match[str]) -> str:
        if reference[0] == "$$":
            return "$"
        name = reference[1] or reference[2]
        if name.isdigit():
            return (found[int(name)] or "") if int(name) <= found.re.groups else ""
        return (found[name] or "") if name in found.re.groupindex else ""

    return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", put, template)


def histograms(name: str, args: Sequence[object]) -> list[Sample]:
    *params, vector = args
    bounded = [(labels, value) for labels, value in vector_of(vector) if bound(labels) is not None]
    told = [({**labels, "name": labels.get("__name__", "")}, value) for labels, value in bounded]
    out: list[Sample] = []
    for rest, members in grouped(told, ("le",), without=True):
        held: dict[float, float] = {}
        for labels, value in members:
            le = bound(labels)
            assert le is not None
            held[le] = held.get(le, 0.0) + value
        numbers = [float_of(param) for param in params]
        result = quantile(numbers[0], held) if name == "histogram_quantile" else fraction(numbers[0], numbers[1], held)
        out.append(({label: text for label, text in rest.items() if label != "name"}, result))
    return unique(out)


def bound(labels: dict[str, str]) -> float | None:
    try:
        return float(labels.get("le", ""))
    except ValueError:
        return None


def quantile(phi: float, held: dict[float, float]) -> float:
    if math.isnan(phi) or not 0 <= phi <= 1:
        return math.nan if math.isnan(phi) else math.copysign(math.inf, phi)
    bounds = sorted(held)
    if bounds[-1] != math.inf:
        return math.nan
    counts = risen([held[le] for le in bounds])
    if len(bounds) < 2 or counts[-1] == 0 or math.isnan(counts[-1]):
        return math.nan
    rank = phi * counts[-1]
    at = next((at for at, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    share = (rank - below) / (counts[at] - below) if counts[at] != below else math.nan
    return start + (bounds[at] - start) * share


def risen(counts: list[float]) -> list[float]:
    out = counts[:1]
    for count in counts[1:]:
        near = abs(count - out[-1]) < 1e-12 * (abs(count) + abs(out[-1]))
        out.append(out[-1] if near or count < out[-1] else count)
    return out


def fraction(lower: float, upper: float, held: dict[float, float]) -> float:
    bounds = sorted(held)
    total = held[bounds[-1]]
    if bounds[-1] != math.inf or total == 0 or math.isnan(lower) or math.isnan(upper):
        return math.nan
    return 0.0 if lower >= upper else (below(upper, held) - below(lower, held)) / total


def below(edge: float, held: dict[float, float]) -> float:
    bounds = sorted(held)
    before, count = (0.0, 0.0) if bounds[0] > 0 else (-math.inf, 0.0)
    for le in bounds:
        if before >= edge:
            return min(count, held[bounds[-1]])
        if le > edge:
            inside = held[le] - count
            share = 1.0 if before == -math.inf else (edge - before) / (le - before)
            return min(count + inside * share, held[bounds[-1]])
        before, count = le, held[le]
    return held[bounds[-1]]
