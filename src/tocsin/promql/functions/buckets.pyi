from tocsin.model.series import FloatArray
from tocsin.promql.crowds import Mask
from tocsin.promql.frame import RowArray

def quantiles(
    values: FloatArray,
    present: Mask,
    order: RowArray,
    starts: RowArray,
    bounds: FloatArray,
    phi: FloatArray,
) -> tuple[FloatArray, Mask, bool]: ...
def fractions(
    values: FloatArray,
    present: Mask,
    order: RowArray,
    starts: RowArray,
    bounds: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> tuple[FloatArray, Mask]: ...
