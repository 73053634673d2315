import numpy as np
import numpy.typing as npt

from tocsin.model.series import FloatArray, TimeArray

Mask = npt.NDArray[np.uint8]

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
    present: Mask,
    row: int,
) -> None: ...
