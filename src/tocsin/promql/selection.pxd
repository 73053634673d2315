# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The k-th smallest of numbers, none of them NaN, without sorting them all.

Source: Musser, Introspective sorting and selection algorithms (1997): quickselect by the median of three, and a heap
where the pivots are bad, so that no order of the numbers makes it quadratic.
"""


cdef inline void _swap(double *numbers, Py_ssize_t one, Py_ssize_t two) noexcept nogil:
    cdef double kept = numbers[one]
    numbers[one] = numbers[two]
    numbers[two] = kept


cdef inline void _sink(double *numbers, Py_ssize_t root, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t child = 2 * root + 1
    while child < size:
        if child + 1 < size and numbers[child] < numbers[child + 1]:
            child += 1
        if numbers[root] >= numbers[child]:
            return
        _swap(numbers, root, child)
        root = child
        child = 2 * root + 1


cdef inline void _sort(double *numbers, Py_ssize_t size) noexcept nogil:
    """By a heap."""
    cdef Py_ssize_t at
    for at in range(size // 2 - 1, -1, -1):
        _sink(numbers, at, size)
    for at in range(size - 1, 0, -1):
        _swap(numbers, 0, at)
        _sink(numbers, 0, at)


cdef inline Py_ssize_t _split(double *numbers, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    """Parts low…high (four and more) at the median of three; gives the place where that came to stand."""
    cdef Py_ssize_t middle = low + ((high - low) >> 1), left = low, right = high - 1
    cdef double pivot
    if numbers[middle] < numbers[low]:
        _swap(numbers, middle, low)
    if numbers[high] < numbers[low]:
        _swap(numbers, high, low)
    if numbers[high] < numbers[middle]:
        _swap(numbers, high, middle)
    pivot = numbers[middle]
    _swap(numbers, middle, high - 1)
    while True:  # numbers[low] ≤ pivot and numbers[high - 1] = pivot end the searches
        left += 1
        while numbers[left] < pivot:
            left += 1
        right -= 1
        while pivot < numbers[right]:
            right -= 1
        if left >= right:
            break
        _swap(numbers, left, right)
    _swap(numbers, left, high - 1)
    return left


cdef inline double select(double *numbers, Py_ssize_t size, Py_ssize_t wanted) noexcept nogil:
    """numbers[wanted], were they sorted; 0 ≤ wanted < size. None behind it is smaller afterwards."""
    cdef Py_ssize_t low = 0, high = size - 1, place, rest = size, tries = 4
    while rest:
        rest >>= 1
        tries += 2
    while high - low >= 3:
        if tries == 0:
            _sort(numbers + low, high - low + 1)
            return numbers[wanted]
        tries -= 1
        place = _split(numbers, low, high)
        if place == wanted:
            return numbers[wanted]
        if place < wanted:
            low = place + 1
        else:
            high = place - 1
    _sort(numbers + low, high - low + 1)
    return numbers[wanted]


cdef inline double lowest(const double *numbers, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    """Of low…high - 1, at least one."""
    cdef double found = numbers[low]
    cdef Py_ssize_t at
    for at in range(low + 1, high):
        if numbers[at] < found:
            found = numbers[at]
    return found
