import numpy as np
import numpy.typing as npt

from tocsin.model.series import FloatArray, TimeArray

Mask = npt.NDArray[np.uint8]

def rows(times: TimeArray, values: FloatArray, present: Mask) -> list[bytes]: ...
def singles(time: int, values: FloatArray) -> list[bytes]: ...
def texts(values: FloatArray) -> list[bytes]: ...
