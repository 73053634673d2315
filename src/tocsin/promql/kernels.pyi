from tocsin.model.series import FloatArray, TimeArray
from tocsin.promql.windows import ByteArray

CODES: dict[str, int]

def reduce_into(
    code: int,
    offsets: TimeArray,
    times: TimeArray,
    values: FloatArray,
    start: int,
    step: int,
    count: int,
    range_ms: int,
    one: FloatArray,
    two: FloatArray,
    out: FloatArray,
    present: ByteArray,
    row: int,
) -> None: ...
