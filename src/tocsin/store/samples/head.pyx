# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The newest samples of the series in memory (docs/adr/0016): packed, bounded, and known to be all from a moment on."""

import threading

import numpy as np

from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

from tocsin.store.samples.chunks cimport (
    BITS, CHUNK_MAX, Chunk, exponent_of, packed, size_of, unpack_numbers, unpack_times, unpack_values,
)

cdef enum:
    OPEN_MAX = 32
    OPEN_MIN = 4
    OVERHEAD = 16  # of a piece of memory, in the allocator
    APPENDED_AT_ONCE = 8_192  # under one hold of the lock, in about 0.3 ms

NOWHERE = INT64_MAX
"""`since` of a series of which nothing is held."""

cdef struct Slot:
    uint64_t id
    int64_t since  # every sample of this time or later is here
    int64_t last_time
    double last_value
    Chunk **chunks  # the oldest first
    int64_t *open  # the newest samples as they came: times[room], then values[room]
    uint32_t chunk_room
    uint32_t chunk_count
    uint8_t open_room
    uint8_t open_count
    int8_t exponent
    uint8_t missed  # a sample came that is not held, being before `since`
    uint8_t used


cdef inline double *_values(const Slot *slot) noexcept nogil:
    return <double *>(slot.open + slot.open_room)


cdef class Head:
    cdef Slot *_slots
    cdef uint32_t *_table  # slot number + 1 by id, open addressing; 0 is free
    cdef uint32_t *_sealed  # slots in the order in which chunks of theirs were made: a ring
    cdef uint64_t _mask, _ring_mask, _ring_start, _ring_count
    cdef bint _dropped
    cdef int64_t _room, _top, _living, _free, _bytes, _budget, _samples, _chunk_total, _horizon, _hand
    cdef object _lock

    def __cinit__(self, int64_t budget):
        self._budget = budget
        self._room, self._mask, self._ring_mask = 1024, 4095, 1023
        self._slots = <Slot *>calloc(self._room, sizeof(Slot))
        self._table = <uint32_t *>calloc(self._mask + 1, sizeof(uint32_t))
        self._sealed = <uint32_t *>calloc(self._ring_mask + 1, sizeof(uint32_t))
        self._free, self._horizon = -1, INT64_MIN
        self._lock = threading.Lock()
        if self._slots == NULL or self._table == NULL or self._sealed == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int64_t at
        if self._slots != NULL:
            for at in range(self._top):
                self._empty(&self._slots[at])
        free(self._slots)
        free(self._table)
        free(self._sealed)

    def __len__(self):
        return self._living

    @property
    def samples(self):
        return self._samples

    @property
    def bytes(self):
        return self._bytes + self._fixed()

    @property
    def budget(self):
        return self._budget

    @property
    def horizon_ms(self):
        """Below it samples had to make way; None while none had."""
        return None if self._horizon == INT64_MIN else self._horizon

    @property
    def dropped(self):
        """Whether series that were held ever ceased to be: one that is not held may have had samples since."""
        return bool(self._dropped)

    # writing

    def append(self, const uint64_t[::1] ids, const int64_t[::1] times, const double[::1] values):
        """Samples in the order of arrival; of equal times the last counts.

        Returns int64[n], the rows of series that are not known here, which were not taken: see `begin`.
        """
        cdef Py_ssize_t row, first, size = ids.shape[0], unknown = 0
        cdef int64_t number
        if times.shape[0] != size or values.shape[0] != size:
            raise ValueError("ids, times and values must be of one length")
        rows = np.empty(size, np.int64)
        cdef int64_t[::1] out = rows
        for first in range(0, size, APPENDED_AT_ONCE):
            with self._lock, nogil:
                for row in range(first, min(size, first + APPENDED_AT_ONCE)):
                    number = self._find(ids[row])
                    if number < 0:
                        out[unknown] = row
                        unknown += 1
                    else:
                        self._put(number, times[row], values[row])
                self._make_room()
        return rows[:unknown]

    def begin(self, const uint64_t[::1] ids, const int64_t[::1] since):
        """From now on these series are held: whatever there is of them from `since` on will be appended."""
        cdef Py_ssize_t at
        if since.shape[0] != ids.shape[0]:
            raise ValueError("ids and since must be of one length")
        with self._lock:
            for at in range(ids.shape[0]):
                if self._find(ids[at]) < 0:
                    self._slots[self._add(ids[at])].since = since[at]

    def fill(
        self, const uint64_t[::1] ids, int64_t since, const int64_t[::1] offsets, const int64_t[::1] times,
        const double[::1] values,
    ):
        """What the engine had of these series from `since` on when the first sample was appended, times rising.

        Series of which something came that was not held are left as they are: the engine may not have had it.
        """
        cdef Py_ssize_t at, size = ids.shape[0]
        cdef int64_t number
        if offsets.shape[0] != size + 1 or offsets[0] < 0 or offsets[size] > times.shape[0] \
                or times.shape[0] != values.shape[0] or np.any(np.diff(offsets) < 0):
            raise ValueError("the offsets do not fit the samples")
        for at in range(size):
            with self._lock:
                if self._dropped:
                    return
                number = self._find(ids[at])
                if number < 0:
                    number = self._add(ids[at])
                elif self._slots[number].missed:
                    continue
                with nogil:
                    if self._slots[number].since > since and offsets[at] < offsets[at + 1]:
                        self._prepend(
                            number, &times[offsets[at]], &values[offsets[at]], offsets[at + 1] - offsets[at]
                        )
                    if self._slots[number].used:
                        self._slots[number].since = min(self._slots[number].since, since)
                    self._make_room()

    def drop(self, const uint64_t[::1] ids):
        """Nothing of these series is held any more."""
        cdef Py_ssize_t at
        cdef int64_t number
        with self._lock, nogil:
            self._dropped = True
            for at in range(ids.shape[0]):
                number = self._find(ids[at])
                if number >= 0:
                    self._drop(number)

    def clear(self):
        cdef int64_t at
        with self._lock:
            self._dropped = True
            for at in range(self._top):
                if self._slots[at].used:
                    self._drop(at)

    # reading

    def since(self, const uint64_t[::1] ids):
        """int64[n]: from when on all samples of each series are held; NOWHERE of one that is not."""
        cdef Py_ssize_t at
        cdef int64_t number
        answer = np.empty(ids.shape[0], np.int64)
        cdef int64_t[::1] out = answer
        with self._lock, nogil:
            for at in range(ids.shape[0]):
                number = self._find(ids[at])
                out[at] = INT64_MAX if number < 0 else self._slots[number].since
        return answer

    def newest(self, const uint64_t[::1] ids, int64_t after, int64_t until):
        """(since int64[n], times int64[n], values float64[n]) of each series' newest sample, `after` where none is
        later. None where a series has a sample later than `until`: what was before must be read."""
        cdef Py_ssize_t at, size = ids.shape[0]
        cdef int64_t number
        cdef bint later = False
        begun, when, what = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
        cdef int64_t[::1] since = begun, times = when
        cdef double[::1] values = what
        with self._lock, nogil:
            for at in range(size):
                number = self._find(ids[at])
                times[at], since[at], values[at] = after, INT64_MAX, 0
                if number < 0:
                    continue
                since[at] = self._slots[number].since
                if self._slots[number].last_time > until:
                    later = True
                    break
                if self._slots[number].last_time > after:
                    times[at], values[at] = self._slots[number].last_time, self._slots[number].last_value
        return None if later else (begun, when, what)

    def read(self, const uint64_t[::1] ids, int64_t after, int64_t until, int64_t samples):
        """The samples with after < time ≤ until of the first of these series, of about so many samples in all.

        Returns (since int64[n], offsets int64[n + 1], times, values) with 1 ≤ n ≤ len(ids).
        """
        cdef Py_ssize_t at, size = ids.shape[0], taken = 0
        cdef int64_t number, most = 0, here, end = 0
        begun, bounds = np.empty(size, np.int64), np.zeros(size + 1, np.int64)
        cdef int64_t[::1] since = begun, offsets = bounds, times
        cdef double[::1] values
        with self._lock:
            with nogil:
                for at in range(size):
                    number = self._find(ids[at])
                    since[at], here = INT64_MAX, 0
                    if number >= 0:
                        since[at] = self._slots[number].since
                        here = self._most(&self._slots[number], after, until)
                    if taken and most + here > samples:
                        break
                    most += here
                    taken += 1
            when, what = np.empty(most, np.int64), np.empty(most)
            times, values = when, what
            with nogil:
                for at in range(taken):
                    number = self._find(ids[at])
                    if number >= 0 and end < most:
                        end += self._copy(&self._slots[number], after, until, &times[end], &values[end])
                    offsets[at + 1] = end
        return begun[:taken], bounds[: taken + 1], when[:end], what[:end]

    # one series

    cdef void _put(self, int64_t number, int64_t time, double value) noexcept nogil:
        cdef Slot *slot = &self._slots[number]
        if time > slot.last_time and time >= slot.since:
            if slot.open_count == slot.open_room and not self._open_up(number):
                return
            slot.open[slot.open_count] = time
            _values(slot)[slot.open_count] = value
            slot.open_count += 1
            slot.last_time, slot.last_value = time, value
            self._samples += 1
        elif time < slot.since:
            slot.missed = True
        else:
            self._put_late(number, time, value)

    cdef bint _open_up(self, int64_t number) noexcept nogil:
        """Room for one more at the end; not where there is no memory, and then the series is not held."""
        cdef Slot *slot = &self._slots[number]
        cdef int room
        cdef int64_t *wider
        if slot.open_room == OPEN_MAX:
            return self._seal(number)
        room = max(<int>OPEN_MIN, 2 * slot.open_room)
        wider = <int64_t *>malloc(room * 16)
        if wider == NULL:
            self._drop(number)
            return False
        if slot.open != NULL:
            memcpy(wider, slot.open, slot.open_count * 8)
            memcpy(wider + room, _values(slot), slot.open_count * 8)
            free(slot.open)
            self._bytes -= slot.open_room * 16 + OVERHEAD
        slot.open, slot.open_room = wider, <uint8_t>room
        self._bytes += room * 16 + OVERHEAD
        return True

    cdef bint _seal(self, int64_t number) noexcept nogil:
        """Pack what is open, into the last chunk where it fits."""
        cdef Slot *slot = &self._slots[number]
        cdef int64_t times[CHUNK_MAX]
        cdef int64_t m[CHUNK_MAX]
        cdef int64_t fresh[OPEN_MAX]
        cdef int before = 0, count = slot.open_count
        cdef int exponent = exponent_of(_values(slot), count, slot.exponent, fresh)
        cdef Chunk *last = slot.chunks[slot.chunk_count - 1] if slot.chunk_count else NULL
        cdef Chunk *made
        if exponent != BITS:
            slot.exponent = <int8_t>exponent
        if last != NULL and last.exponent == exponent and last.count + count <= CHUNK_MAX:
            before = last.count
            unpack_times(last, times)
            unpack_numbers(last, m)
        memcpy(times + before, slot.open, count * 8)
        memcpy(m + before, fresh, count * 8)
        made = packed(times, m, before + count, exponent)
        if made == NULL:
            self._drop(number)
            return False
        if before:
            self._bytes += <int64_t>size_of(made) - <int64_t>size_of(last)
            free(last)
            slot.chunks[slot.chunk_count - 1] = made
        elif not self._insert(number, slot.chunk_count, made):
            return False
        slot.open_count = 0
        return True

    cdef bint _insert(self, int64_t number, uint32_t at, Chunk *chunk) noexcept nogil:
        """`chunk` becomes the one in place `at`."""
        cdef Slot *slot = &self._slots[number]
        cdef Chunk **wider
        if slot.chunk_count == slot.chunk_room:
            wider = <Chunk **>realloc(slot.chunks, (slot.chunk_room + 4) * sizeof(Chunk *))
            if wider == NULL:
                free(chunk)
                self._drop(number)
                return False
            slot.chunks = wider
            slot.chunk_room += 4
            self._bytes += 4 * sizeof(Chunk *)
        memmove(slot.chunks + at + 1, slot.chunks + at, (slot.chunk_count - at) * sizeof(Chunk *))
        slot.chunks[at] = chunk
        slot.chunk_count += 1
        self._chunk_total += 1
        self._bytes += size_of(chunk) + OVERHEAD
        if not self._enqueue(number, oldest=at < slot.chunk_count - 1):
            self._drop(number)
            return False
        return True

    cdef void _put_late(self, int64_t number, int64_t time, double value) noexcept nogil:
        """A sample that is not the newest: into its place, over the one of the same time."""
        cdef Slot *slot = &self._slots[number]
        cdef uint32_t which = 0
        cdef int at
        while which < slot.chunk_count and slot.chunks[which].last_time < time:
            which += 1
        if which < slot.chunk_count:
            self._rewrite(number, which, time, value)
        else:
            at = slot.open_count
            while at and slot.open[at - 1] >= time:
                at -= 1
            if at == slot.open_count or slot.open[at] != time:
                if slot.open_count == slot.open_room:
                    if not self._open_up(number):
                        return
                    if slot.open_count == 0:  # it was sealed, and the sample belongs into what is packed now
                        self._put_late(number, time, value)
                        return
                memmove(slot.open + at + 1, slot.open + at, (slot.open_count - at) * 8)
                memmove(_values(slot) + at + 1, _values(slot) + at, (slot.open_count - at) * 8)
                slot.open_count += 1
                self._samples += 1
            slot.open[at] = time
            _values(slot)[at] = value
        if slot.used and time == slot.last_time:
            slot.last_value = value

    cdef void _rewrite(self, int64_t number, uint32_t which, int64_t time, double value) noexcept nogil:
        """The chunk with this sample too; in two where it gets too long."""
        cdef Slot *slot = &self._slots[number]
        cdef Chunk *chunk = slot.chunks[which]
        cdef int64_t times[CHUNK_MAX + 1]
        cdef double values[CHUNK_MAX + 1]
        cdef int at = 0, count = chunk.count, half
        cdef Chunk *first
        cdef Chunk *second = NULL
        unpack_times(chunk, times)
        unpack_values(chunk, values)
        while at < count and times[at] < time:
            at += 1
        if times[at] != time:
            memmove(times + at + 1, times + at, (count - at) * 8)
            memmove(values + at + 1, values + at, (count - at) * 8)
            count += 1
            self._samples += 1
        times[at], values[at] = time, value
        half = count if count <= CHUNK_MAX else count // 2
        first = self._packed(times, values, half, chunk.exponent)
        if half < count:
            second = self._packed(times + half, values + half, count - half, chunk.exponent)
        if first == NULL or (half < count and second == NULL):
            free(first)
            free(second)
            self._samples -= count - chunk.count  # of what `_drop` counts
            self._drop(number)
            return
        self._bytes += <int64_t>size_of(first) - <int64_t>size_of(chunk)
        slot.chunks[which] = first
        free(chunk)
        if second != NULL:
            self._samples -= second.count  # should `_insert` fail, it is not among what is dropped
            if self._insert(number, which + 1, second):
                self._samples += second.count

    cdef Chunk *_packed(self, const int64_t *times, const double *values, int count, int hint) noexcept nogil:
        cdef int64_t m[CHUNK_MAX]
        cdef int exponent = exponent_of(values, count, hint, m)
        return packed(times, m, count, exponent)

    cdef void _prepend(self, int64_t number, const int64_t *times, const double *values, int64_t count) noexcept nogil:
        """Those of the samples that are before `since`."""
        cdef Slot *slot = &self._slots[number]
        cdef Chunk *chunk
        cdef int some
        while count and times[count - 1] >= slot.since:
            count -= 1
        if count and slot.last_time < times[count - 1]:
            slot.last_time, slot.last_value = times[count - 1], values[count - 1]
        while count:
            some = <int>min(count, <int64_t>CHUNK_MAX)
            count -= some
            chunk = self._packed(times + count, values + count, some, slot.exponent)
            if chunk == NULL:
                self._drop(number)
                return
            if chunk.exponent != BITS:
                slot.exponent = chunk.exponent
            if not self._insert(number, 0, chunk):
                return
            self._samples += some

    cdef int64_t _most(self, const Slot *slot, int64_t after, int64_t until) noexcept nogil:
        """At least as many as there are in that time."""
        cdef int64_t most = slot.open_count
        cdef uint32_t at
        for at in range(slot.chunk_count):
            if slot.chunks[at].last_time > after and slot.chunks[at].times.first <= until:
                most += slot.chunks[at].count
        return most

    cdef int64_t _copy(
        self, const Slot *slot, int64_t after, int64_t until, int64_t *times, double *values
    ) noexcept nogil:
        cdef int64_t end = 0, first, past
        cdef uint32_t which
        cdef const Chunk *chunk
        for which in range(slot.chunk_count):
            chunk = slot.chunks[which]
            if chunk.last_time <= after or chunk.times.first > until:
                continue
            unpack_times(chunk, times + end)
            unpack_values(chunk, values + end)
            first, past = 0, chunk.count
            while first < past and times[end + first] <= after:
                first += 1
            while past > first and times[end + past - 1] > until:
                past -= 1
            if first:
                memmove(times + end, times + end + first, (past - first) * 8)
                memmove(values + end, values + end + first, (past - first) * 8)
            end += past - first
        first, past = 0, slot.open_count
        while first < past and slot.open[first] <= after:
            first += 1
        while past > first and slot.open[past - 1] > until:
            past -= 1
        if past > first:
            memcpy(times + end, slot.open + first, (past - first) * 8)
            memcpy(values + end, _values(slot) + first, (past - first) * 8)
            end += past - first
        return end

    cdef int64_t _held(self, const Slot *slot) noexcept nogil:
        cdef int64_t held = slot.open_count
        cdef uint32_t at
        for at in range(slot.chunk_count):
            held += slot.chunks[at].count
        return held

    cdef void _empty(self, Slot *slot) noexcept nogil:
        cdef uint32_t at
        self._samples -= self._held(slot)
        for at in range(slot.chunk_count):
            self._bytes -= size_of(slot.chunks[at]) + OVERHEAD
            free(slot.chunks[at])
        self._chunk_total -= slot.chunk_count
        self._bytes -= slot.chunk_room * sizeof(Chunk *)
        if slot.open != NULL:
            self._bytes -= slot.open_room * 16 + OVERHEAD
        free(slot.chunks)
        free(slot.open)
        slot.chunks, slot.open = NULL, NULL
        slot.chunk_count = slot.chunk_room = slot.open_count = slot.open_room = 0

    # all of them

    cdef int64_t _fixed(self) noexcept nogil:
        return self._living * <int64_t>(sizeof(Slot) + 2 * sizeof(uint32_t))

    cdef int64_t _find(self, uint64_t id) noexcept nogil:
        cdef uint64_t at = id & self._mask
        while self._table[at]:
            if self._slots[self._table[at] - 1].id == id:
                return self._table[at] - 1
            at = (at + 1) & self._mask
        return -1

    cdef int64_t _add(self, uint64_t id) except -1:
        cdef int64_t number
        cdef Slot *slot
        cdef Slot *wider
        cdef uint64_t at
        if 2 * <uint64_t>self._living >= self._mask:
            self._rehash()
        if self._free >= 0:
            number = self._free
            self._free = self._slots[number].since
        else:
            if self._top == self._room:
                wider = <Slot *>realloc(self._slots, 2 * self._room * sizeof(Slot))
                if wider == NULL:
                    raise MemoryError
                self._slots = wider
                self._room *= 2
            number = self._top
            self._top += 1
        slot = &self._slots[number]
        slot.id, slot.since, slot.last_time, slot.last_value, slot.missed = id, INT64_MAX, INT64_MIN, 0, False
        slot.chunks, slot.open = NULL, NULL
        slot.chunk_count = slot.chunk_room = slot.open_count = slot.open_room = 0
        slot.exponent, slot.used = 0, True
        at = id & self._mask
        while self._table[at]:
            at = (at + 1) & self._mask
        self._table[at] = <uint32_t>(number + 1)
        self._living += 1
        return number

    cdef int _rehash(self) except -1:
        cdef uint64_t mask = 2 * self._mask + 1, at
        cdef uint32_t *table = <uint32_t *>calloc(mask + 1, sizeof(uint32_t))
        cdef int64_t number
        if table == NULL:
            raise MemoryError
        for number in range(self._top):
            if self._slots[number].used:
                at = self._slots[number].id & mask
                while table[at]:
                    at = (at + 1) & mask
                table[at] = <uint32_t>(number + 1)
        free(self._table)
        self._table, self._mask = table, mask
        return 0

    cdef void _drop(self, int64_t number) noexcept nogil:
        cdef Slot *slot = &self._slots[number]
        cdef uint64_t hole = slot.id & self._mask, at, home
        self._dropped = True
        self._empty(slot)
        while self._table[hole] != <uint32_t>(number + 1):
            hole = (hole + 1) & self._mask
        at = hole
        while True:  # what stands behind it because of it moves up
            at = (at + 1) & self._mask
            if not self._table[at]:
                break
            home = self._slots[self._table[at] - 1].id & self._mask
            if ((at - home) & self._mask) >= ((at - hole) & self._mask):
                self._table[hole] = self._table[at]
                hole = at
        self._table[hole] = 0
        slot.used, slot.since = False, self._free
        self._free = number
        self._living -= 1

    cdef void _make_room(self) noexcept nogil:
        """The oldest chunks go. Series that have ended before what is kept go with them."""
        cdef Slot *slot
        cdef Chunk *oldest
        cdef int step
        while self._living and self._bytes + self._fixed() > self._budget:
            if self._ring_count:
                slot = &self._slots[self._sealed[self._ring_start]]
                self._ring_start = (self._ring_start + 1) & self._ring_mask
                self._ring_count -= 1
                if slot.used and slot.chunk_count:
                    oldest = slot.chunks[0]
                    slot.since = max(slot.since, oldest.last_time + 1)
                    self._horizon = max(self._horizon, slot.since)
                    self._samples -= oldest.count
                    self._bytes -= size_of(oldest) + OVERHEAD
                    self._chunk_total -= 1
                    slot.chunk_count -= 1
                    memmove(slot.chunks, slot.chunks + 1, slot.chunk_count * sizeof(Chunk *))
                    free(oldest)
            for step in range(2):
                self._hand = (self._hand + 1) % self._top
                slot = &self._slots[self._hand]
                if slot.used and (slot.last_time < self._horizon or not self._ring_count):
                    self._drop(self._hand)

    cdef bint _enqueue(self, int64_t number, bint oldest) noexcept nogil:
        if self._ring_count > self._ring_mask and not self._widen():
            return False
        if oldest:
            self._ring_start = (self._ring_start - 1) & self._ring_mask
            self._sealed[self._ring_start] = <uint32_t>number
        else:
            self._sealed[(self._ring_start + self._ring_count) & self._ring_mask] = <uint32_t>number
        self._ring_count += 1
        return True

    cdef bint _widen(self) noexcept nogil:
        """Leaves out what stands for chunks that are gone."""
        cdef uint64_t size = self._ring_mask + 1, at, kept = 0
        cdef uint64_t room = 2 * size if 2 * <uint64_t>self._chunk_total > size else size
        cdef uint32_t *ring = <uint32_t *>malloc(room * sizeof(uint32_t))
        cdef uint32_t *seen = <uint32_t *>calloc(self._top, sizeof(uint32_t))
        cdef uint32_t number
        if ring == NULL or seen == NULL:
            free(ring)
            free(seen)
            return False
        for at in range(self._ring_count):
            number = self._sealed[(self._ring_start + at) & self._ring_mask]
            if self._slots[number].used and seen[number] < self._slots[number].chunk_count:
                seen[number] += 1
                ring[kept] = number
                kept += 1
        free(seen)
        free(self._sealed)
        self._sealed, self._ring_mask, self._ring_start, self._ring_count = ring, room - 1, 0, kept
        return True
