# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The quick way through remote write: series are recognised by the bytes of their labels, and not decoded.

`remote_write` reads the same messages in Python, whatever they hold; the tests hold the two against each other. Every
offset is checked before it is read, and what is not of the common form is answered with None: read it there.

A block is the label fields of a version 1 series, one after another. Version 2's references are written out as such a
block, so that both versions share what was learned. Slots count from 0 and are never given twice in a table.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t tocsin_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    static inline uint64_t tocsin_eight(const uint8_t *at) { uint64_t word; memcpy(&word, at, 8); return word; }
    """
    uint64_t tocsin_mix(uint64_t a, uint64_t b) nogil
    uint64_t tocsin_eight(const uint8_t *at) nogil

cdef enum:
    BLOCK_MAX = 1048576

cdef uint64_t K0 = 0x9E3779B97F4A7C15ULL
cdef uint64_t K1 = 0xD6E8FEB86659FD93ULL


cdef inline uint64_t _hash(const uint8_t *data, Py_ssize_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t state = seed ^ (<uint64_t>size * K0)
    cdef uint8_t last[8]
    while size >= 8:
        state = tocsin_mix(state ^ tocsin_eight(data), K1)
        data += 8
        size -= 8
    if size:
        memset(last, 0, 8)
        memcpy(last, data, size)
        state = tocsin_mix(state ^ tocsin_eight(last), K1)
    return tocsin_mix(state, K0)


cdef struct Entry:
    Py_ssize_t at
    uint32_t size
    uint32_t check
    int32_t after  # the slot that came after this one the last time: senders keep their order
    uint64_t described


cdef struct Cursor:
    const uint8_t *data
    Py_ssize_t at
    Py_ssize_t stop


cdef inline bint _varint(Cursor *cursor, uint64_t *value) noexcept nogil:
    """False where it is longer than ten bytes or not whole."""
    cdef uint64_t result = 0
    cdef int shift = 0
    cdef uint8_t byte
    while cursor.at < cursor.stop and shift < 70:
        byte = cursor.data[cursor.at]
        cursor.at += 1
        result |= (<uint64_t>(byte & 0x7F)) << shift if shift < 64 else 0
        if byte < 0x80:
            value[0] = result
            return True
        shift += 7
    return False


cdef inline bint _open(Cursor *cursor, Cursor *inside) noexcept nogil:
    """The bytes of a length-delimited field; the cursor stands behind them. False where they are not all there."""
    cdef uint64_t size = 0
    if not _varint(cursor, &size) or size > <uint64_t>(cursor.stop - cursor.at):
        return False
    inside.data = cursor.data
    inside.at = cursor.at
    inside.stop = cursor.at + <Py_ssize_t>size
    cursor.at = inside.stop
    return True


cdef inline bint _sample(Cursor *cursor, int64_t *time, uint64_t *bits) noexcept nogil:
    """Value and time in any order; False for any other field."""
    cdef uint64_t number = 0
    time[0] = 0
    bits[0] = 0
    while cursor.at < cursor.stop:
        if cursor.data[cursor.at] == 0x09 and cursor.stop - cursor.at >= 9:
            bits[0] = tocsin_eight(cursor.data + cursor.at + 1)
            cursor.at += 9
        elif cursor.data[cursor.at] == 0x10:
            cursor.at += 1
            if not _varint(cursor, &number):
                return False
            time[0] = <int64_t>number
        else:
            return False
    return True


cdef class _Columns:
    """Three columns of 8 bytes that grow together."""

    cdef bytearray slots, times, bits
    cdef Py_ssize_t count, room, exemplars

    def __cinit__(self):
        self.slots, self.times, self.bits = bytearray(), bytearray(), bytearray()
        self.count = self.room = self.exemplars = 0

    cdef int add(self, int64_t slot, int64_t time, uint64_t bits) except -1:
        if self.count == self.room:
            self.grow(self.room * 2 if self.room else 2048)
        (<int64_t *>PyByteArray_AS_STRING(self.slots))[self.count] = slot
        (<int64_t *>PyByteArray_AS_STRING(self.times))[self.count] = time
        (<uint64_t *>PyByteArray_AS_STRING(self.bits))[self.count] = bits
        self.count += 1
        return 0

    cdef int grow(self, Py_ssize_t room) except -1:
        PyByteArray_Resize(self.slots, room * 8)
        PyByteArray_Resize(self.times, room * 8)
        PyByteArray_Resize(self.bits, room * 8)
        self.room = room
        return 0

    cdef tuple taken(self):
        PyByteArray_Resize(self.slots, self.count * 8)
        PyByteArray_Resize(self.times, self.count * 8)
        PyByteArray_Resize(self.bits, self.count * 8)
        return self.slots, self.times, self.bits, self.exemplars


cdef class BlockTable:
    """Blocks → slots. `seed` keeps a sender from choosing blocks that collide.

    Not to be used by two threads at once, but for the pauses in which `learn` is called.
    """

    cdef uint8_t *arena
    cdef Py_ssize_t arena_size, arena_room
    cdef Entry *entries
    cdef Py_ssize_t count, entries_room
    cdef int32_t *table
    cdef Py_ssize_t table_room
    cdef uint64_t seed
    cdef uint8_t *scratch
    cdef Py_ssize_t scratch_room

    def __cinit__(self, uint64_t seed):
        self.seed = seed
        self.table_room = 1024
        self.table = <int32_t *>malloc(self.table_room * sizeof(int32_t))
        if self.table == NULL:
            raise MemoryError
        memset(self.table, 0xFF, self.table_room * sizeof(int32_t))

    def __dealloc__(self):
        free(self.arena)
        free(self.entries)
        free(self.table)
        free(self.scratch)

    def __len__(self):
        return self.count

    @property
    def nbytes(self):
        """Bytes that it takes."""
        return (
            self.arena_room + self.entries_room * sizeof(Entry) + self.table_room * sizeof(int32_t) + self.scratch_room
        )

    def find(self, const uint8_t[::1] block):
        """Its slot, or -1."""
        return self.slot_of(&block[0] if block.shape[0] else NULL, block.shape[0])

    def add(self, const uint8_t[::1] block):
        """The slot of a block, a new one where it is new."""
        cdef Py_ssize_t size = block.shape[0]
        cdef const uint8_t *data = &block[0] if size else NULL
        cdef int32_t slot = self.slot_of(data, size)
        if slot >= 0:
            return slot
        if self.count >= 0x7FFFFFF0 or size > 0x7FFFFFF0:
            raise OverflowError("the table of blocks is full")
        self.reserve(size)
        cdef uint64_t hashed = _hash(data, size, self.seed)
        cdef Entry *entry = &self.entries[self.count]
        entry.at = self.arena_size
        entry.size = <uint32_t>size
        entry.check = <uint32_t>(hashed >> 32)
        entry.after = -1
        entry.described = 0
        if size:
            memcpy(self.arena + self.arena_size, data, size)
        self.arena_size += size
        self.place(hashed, <int32_t>self.count)
        self.count += 1
        return self.count - 1

    def read_v1(self, const uint8_t[::1] body, learn, Py_ssize_t samples_max):
        """(slots, times, bits, exemplars): bytearrays of int64, int64 and uint64, and a count.

        None for what is not of the common form: series whose labels come first, then samples and exemplars, and nothing
        else. `learn(block)` is asked for unknown blocks and answers with their slot, or -1 for those that are wrong;
        where it is None, an unknown block is not of the common form.
        """
        cdef Cursor outer, series, sample
        cdef Py_ssize_t start, stop, seen = 0
        cdef uint8_t tag
        cdef int32_t slot, before = -1
        cdef int64_t time = 0
        cdef uint64_t bits = 0
        cdef _Columns columns = _Columns()
        outer.data = &body[0] if body.shape[0] else NULL
        outer.at, outer.stop = 0, body.shape[0]
        while outer.at < outer.stop:
            if outer.data[outer.at] != 0x0A:
                return None
            outer.at += 1
            seen += 1
            if not _open(&outer, &series) or seen > samples_max:
                return None
            start = series.at
            while series.at < series.stop and series.data[series.at] == 0x0A:
                series.at += 1
                if not _open(&series, &sample):
                    return None
            stop = series.at
            slot = self.recognise(before, outer.data + start, stop - start, learn)
            if slot < 0:
                return None
            before = slot
            while series.at < series.stop:
                tag = series.data[series.at]
                series.at += 1
                if (tag != 0x12 and tag != 0x1A) or not _open(&series, &sample):
                    return None
                if tag == 0x1A:
                    columns.exemplars += 1
                    continue
                if not _sample(&sample, &time, &bits) or columns.count >= samples_max:
                    return None
                columns.add(slot, time, bits)
        return columns.taken()

    def read_v2(self, const uint8_t[::1] body, learn, Py_ssize_t samples_max, Py_ssize_t symbols_max):
        """As read_v1, and what is news of metrics: (slot, kind, help, unit), the last two as bytes.

        The common form: symbols, and series of references followed by samples, exemplars and metadata alone.
        """
        cdef Cursor outer, inside
        cdef Py_ssize_t symbols = 0, series = 0
        cdef uint64_t tag = 0
        cdef Cursor *symbol = NULL
        cdef Cursor *every = NULL
        cdef _Columns columns = _Columns()
        cdef list described = []
        outer.data = &body[0] if body.shape[0] else NULL
        outer.at, outer.stop = 0, body.shape[0]
        while outer.at < outer.stop:  # count first
            tag = outer.data[outer.at]
            outer.at += 1
            if (tag != 0x22 and tag != 0x2A) or not _open(&outer, &inside):
                return None
            if tag == 0x22:
                symbols += 1
            else:
                series += 1
            if symbols > symbols_max or series > samples_max:
                return None
        symbol = <Cursor *>malloc((symbols + 1) * sizeof(Cursor))
        every = <Cursor *>malloc((series + 1) * sizeof(Cursor))
        try:
            if symbol == NULL or every == NULL:
                raise MemoryError
            outer.at, symbols, series = 0, 0, 0
            while outer.at < outer.stop:
                tag = outer.data[outer.at]
                outer.at += 1
                _open(&outer, &inside)
                if tag == 0x22:
                    symbol[symbols] = inside
                    symbols += 1
                else:
                    every[series] = inside
                    series += 1
            if not self.take_series_v2(every, series, symbol, symbols, learn, samples_max, columns, described):
                return None
        finally:
            free(symbol)
            free(every)
        return columns.taken() + (described,)

    cdef bint take_series_v2(
        self,
        Cursor *every,
        Py_ssize_t series_count,
        Cursor *symbol,
        Py_ssize_t symbols,
        learn,
        Py_ssize_t samples_max,
        _Columns columns,
        list described,
    ) except -1:
        cdef Cursor series, inside
        cdef Py_ssize_t number, size
        cdef int32_t slot, before = -1
        cdef int64_t time = 0
        cdef uint64_t bits = 0
        cdef uint8_t tag
        for number in range(series_count):
            series = every[number]
            if series.at >= series.stop or series.data[series.at] != 0x0A:
                return False
            series.at += 1
            if not _open(&series, &inside):
                return False
            size = self.write_block(&inside, symbol, symbols)
            if size < 0:
                return False
            slot = self.recognise(before, self.scratch, size, learn)
            if slot < 0:
                return False
            before = slot
            while series.at < series.stop:
                tag = series.data[series.at]
                series.at += 1
                if (tag != 0x12 and tag != 0x22 and tag != 0x2A) or not _open(&series, &inside):
                    return False
                if tag == 0x22:
                    columns.exemplars += 1
                    continue
                if tag == 0x2A:
                    if not self.describe(&inside, slot, symbol, symbols, described):
                        return False
                    continue
                if not _sample(&inside, &time, &bits) or columns.count >= samples_max:
                    return False
                columns.add(slot, time, bits)
        return True

    cdef Py_ssize_t write_block(self, Cursor *refs, Cursor *symbol, Py_ssize_t symbols) except -2:
        """The labels of these references as a block in `scratch`; its size, or -1."""
        cdef uint64_t name = 0, value = 0
        cdef Py_ssize_t size = 0, name_size, value_size, label_size
        while refs.at < refs.stop:
            if not _varint(refs, &name) or not _varint(refs, &value):
                return -1
            if name >= <uint64_t>symbols or value >= <uint64_t>symbols:
                return -1
            name_size = symbol[name].stop - symbol[name].at
            value_size = symbol[value].stop - symbol[value].at
            label_size = 2 + _width(name_size) + _width(value_size) + name_size + value_size
            if size + label_size > BLOCK_MAX:
                return -1  # one long symbol, named again and again
            self.reserve_scratch(size + label_size + 12)
            self.scratch[size] = 0x0A
            size = self.put_size(size + 1, label_size)
            self.scratch[size] = 0x0A
            size = self.put_size(size + 1, name_size)
            memcpy(self.scratch + size, symbol[name].data + symbol[name].at, name_size)
            size += name_size
            self.scratch[size] = 0x12
            size = self.put_size(size + 1, value_size)
            memcpy(self.scratch + size, symbol[value].data + symbol[value].at, value_size)
            size += value_size
        return size

    cdef inline Py_ssize_t put_size(self, Py_ssize_t at, Py_ssize_t size) noexcept:
        while size > 0x7F:
            self.scratch[at] = <uint8_t>(size & 0x7F | 0x80)
            size >>= 7
            at += 1
        self.scratch[at] = <uint8_t>size
        return at + 1

    cdef bint describe(
        self, Cursor *said, int32_t slot, Cursor *symbol, Py_ssize_t symbols, list described
    ) except -1:
        cdef uint64_t kind = 0, help_ = 0, unit = 0, number = 0, hashed
        cdef uint8_t tag
        while said.at < said.stop:
            tag = said.data[said.at]
            said.at += 1
            if not _varint(said, &number):
                return False
            if tag == 0x08:
                kind = number
            elif tag == 0x18:
                help_ = number
            elif tag == 0x20:
                unit = number
            else:
                return False
        if help_ >= <uint64_t>symbols or unit >= <uint64_t>symbols:
            return False
        hashed = kind + 1
        for number in (help_, unit):
            if number:  # 0 says nothing, whatever the first symbol is
                hashed = _hash(symbol[number].data + symbol[number].at, symbol[number].stop - symbol[number].at, hashed)
            hashed = tocsin_mix(hashed, K0) + 1
        if hashed != self.entries[slot].described:
            self.entries[slot].described = hashed
            described.append(
                (slot, kind, _bytes_of(&symbol[help_]) if help_ else b"", _bytes_of(&symbol[unit]) if unit else b"")
            )
        return True

    def retell(self):
        """Forget what was told of metrics: all of it is news again."""
        cdef Py_ssize_t slot
        for slot in range(self.count):
            self.entries[slot].described = 0

    def block(self, Py_ssize_t slot):
        """The bytes of a slot. Raises IndexError."""
        if not 0 <= slot < self.count:
            raise IndexError(slot)
        return bytes((<const uint8_t *>self.arena + self.entries[slot].at)[: self.entries[slot].size])

    cdef int32_t recognise(self, int32_t before, const uint8_t *block, Py_ssize_t size, learn) except -2:
        cdef int32_t slot = self.follow(before, block, size)
        if slot < 0 and learn is not None and size:
            slot = learn(block[:size])
            if not -1 <= slot < self.count:
                raise IndexError(slot)
            self.note(before, slot)
        return slot

    cdef inline int32_t follow(self, int32_t before, const uint8_t *block, Py_ssize_t size) noexcept:
        """The slot of a block, tried first where it was after the same series the last time; -1 for an unknown one."""
        cdef int32_t slot
        cdef Entry *entry
        if size == 0:
            return -1
        if before >= 0:
            slot = self.entries[before].after
            if slot >= 0:
                entry = &self.entries[slot]
                if entry.size == size and memcmp(self.arena + entry.at, block, size) == 0:
                    return slot
        slot = self.slot_of(block, size)
        if slot >= 0:
            self.note(before, slot)
        return slot

    cdef inline void note(self, int32_t before, int32_t slot) noexcept:
        if 0 <= before < self.count and slot >= 0:
            self.entries[before].after = slot

    cdef int32_t slot_of(self, const uint8_t *block, Py_ssize_t size) noexcept:
        cdef uint64_t hashed = _hash(block, size, self.seed)
        cdef uint32_t check = <uint32_t>(hashed >> 32)
        cdef Py_ssize_t mask = self.table_room - 1
        cdef Py_ssize_t at = <Py_ssize_t>(hashed & <uint64_t>mask)
        cdef Entry *entry
        while self.table[at] >= 0:
            entry = &self.entries[self.table[at]]
            if entry.check == check and entry.size == size:
                if size == 0 or memcmp(self.arena + entry.at, block, size) == 0:
                    return self.table[at]
            at = (at + 1) & mask
        return -1

    cdef void place(self, uint64_t hashed, int32_t slot) noexcept:
        cdef Py_ssize_t mask = self.table_room - 1
        cdef Py_ssize_t at = <Py_ssize_t>(hashed & <uint64_t>mask)
        while self.table[at] >= 0:
            at = (at + 1) & mask
        self.table[at] = slot

    cdef int reserve(self, Py_ssize_t size) except -1:
        """Room for one more block."""
        cdef Py_ssize_t room, slot
        cdef void *grown
        if self.arena_size + size > self.arena_room:
            room = max(self.arena_room * 3 // 2, self.arena_size + size, 65536)
            grown = realloc(self.arena, room)
            if grown == NULL:
                raise MemoryError
            self.arena, self.arena_room = <uint8_t *>grown, room
        if self.count == self.entries_room:
            room = max(self.entries_room * 3 // 2, 512)
            grown = realloc(self.entries, room * sizeof(Entry))
            if grown == NULL:
                raise MemoryError
            self.entries, self.entries_room = <Entry *>grown, room
        if (self.count + 1) * 2 > self.table_room:
            room = self.table_room * 2
            grown = realloc(self.table, room * sizeof(int32_t))
            if grown == NULL:
                raise MemoryError
            self.table, self.table_room = <int32_t *>grown, room
            memset(self.table, 0xFF, room * sizeof(int32_t))
            for slot in range(self.count):
                self.place(
                    _hash(self.arena + self.entries[slot].at, self.entries[slot].size, self.seed), <int32_t>slot
                )
        return 0

    cdef int reserve_scratch(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room
        cdef void *grown
        if size > self.scratch_room:
            room = max(size * 2, 4096)
            grown = realloc(self.scratch, room)
            if grown == NULL:
                raise MemoryError
            self.scratch, self.scratch_room = <uint8_t *>grown, room
        return 0


cdef inline Py_ssize_t _width(Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t width = 1
    while size > 0x7F:
        size >>= 7
        width += 1
    return width


cdef bytes _bytes_of(Cursor *text):
    return text.data[text.at : text.stop]
