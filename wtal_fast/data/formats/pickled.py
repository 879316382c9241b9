"""Pickles read as data by a machine of our own: it can build numbers, text, lists, tuples, dictionaries and what it is
given a builder for, and nothing else. Python's unpickler is never called.

Long byte strings are not copied: they become a Span, a place in the file, so that arrays can stay on disk.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_OPCODES = 8_000_000  # each costs at most about 70 bytes; the largest public label file has 10^5
MAX_SPAN_COPY = 1024  # shorter byte strings are copied out of the file at once
MAX_INTEGER_BITS = 64
_QUOTED = re.compile(rb"""\s*(['"])(?:[^\\]|\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2}|[0-3]?[0-7]{1,2}))*\1\s*""", re.S)


class Refused(ValueError):
    """Why a pickle is not read: `expected` and `found` in words."""

    def __init__(self, expected: str, found: str):
        self.expected, self.found = expected, found
        super().__init__(f"expected {expected}, found {found}")


@dataclass(frozen=True)
class Span:
    """A long string where it lies in the file. kind: "bytes", "latin1" (a Python 2 str), "utf8", or "packed": bytes
    that were written as the UTF-8 text of their Latin-1 characters."""

    data: object
    start: int
    size: int
    kind: str

    def value(self) -> str | bytes:
        """The string, copied out of the file."""
        content = bytes(self.data[self.start : self.start + self.size])
        if self.kind == "utf8":
            return content.decode("utf-8", "surrogatepass")
        if self.kind == "latin1":
            return content.decode("latin-1")
        return content.decode("utf-8").encode("latin-1") if self.kind == "packed" else content


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle refers to; `build` makes a value of the arguments it is called with."""

    name: str
    build: Callable[[tuple], object] | None


class Buildable:
    """A value made by a builder that the pickle completes with a state."""

    def set_state(self, state) -> None:
        raise Refused("a value without a state", "a state")

    def plain(self, tree, depth: int):
        """What the reader hands out for it; `tree` makes the values inside it plain."""
        raise Refused("data", f"a {type(self).__name__} on its own")


class Machine:
    """Runs one pickle of `data` from byte `start`.

    builders: the names the pickle may refer to, with what builds a value of their arguments (None: a name that is only
    passed on). persistent: what makes a value of a persistent id; None refuses them.
    """

    def __init__(self, data, start: int, builders: Mapping[str, Callable[[tuple], object] | None],
                 persistent: Callable[[object], object] | None = None):
        self.data, self.position, self.size = data, start, len(data)
        self.builders, self.persistent = builders, persistent
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, object] = {}

    def run(self):
        """The pickled value; `position` then is the first byte after it. Refused for whatever is not such data."""
        data, handlers = self.data, _HANDLERS
        try:
            for _ in range(MAX_OPCODES):
                opcode = data[self.position]
                self.position += 1
                if opcode == _STOP:
                    (value,) = self.stack
                    if self.marks:
                        raise Refused("a complete pickle", "an open mark at its end")
                    return value
                handlers[opcode](self)
        except Refused:
            raise
        except KeyError as error:
            raise Refused("known opcodes and memo entries", f"{error} before byte {self.position}") from None
        except (IndexError, ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
            reason = str(error)[:80] if self.position < self.size else "the end of the file"
            raise Refused("a complete pickle", f"{reason} at byte {self.position}") from None
        raise Refused(f"at most {MAX_OPCODES} opcodes", "more")

    # What the handlers are made of

    def _take(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        if count < 0 or self.position > self.size:
            raise Refused(f"{self.size} bytes, the size of the file", f"a length that reaches byte {self.position}")
        return self.data[start : self.position]

    def _number(self, form: str):
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise Refused("a complete pickle", "a line without an end")
        line = self._take(end - self.position)
        self.position += 1
        return line

    def _push(self, value) -> None:
        self.stack.append(value)

    def _to_mark(self) -> list:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _string(self, count: int, kind: str) -> None:
        start = self.position
        if count > MAX_SPAN_COPY:
            if start + count > self.size:
                raise Refused(f"{self.size} bytes, the size of the file", f"a length that reaches byte {start + count}")
            self.position += count
            self.stack.append(Span(self.data, start, count, kind))
        else:
            content = self._take(count)
            self.stack.append(Span(content, 0, count, kind).value())

    def _global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self.builders:
            raise Refused("numbers, text, lists, dictionaries and arrays of them",
                          f"a reference to {ascii(full)[:100]} (not followed)")
        self.stack.append(Name(full, self.builders[full]))

    def _reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, Name) or called.build is None or not isinstance(arguments, tuple):
            raise Refused("data", f"a call of {called.name if isinstance(called, Name) else type(called).__name__}")
        self.stack.append(called.build(arguments))

    def _build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, Buildable):
            value.set_state(state)
        elif not isinstance(value, dict):  # a dictionary's attributes, as torch adds them to a state_dict, are left out
            raise Refused("data", f"a state for a {type(value).__name__}")

    def _persistent_id(self, value) -> None:
        if self.persistent is None:
            raise Refused("data", "a persistent id")
        self.stack.append(self.persistent(value))

    def _store(self, pairs: list) -> None:
        table = self.stack[-1]
        if not isinstance(table, dict) or len(pairs) % 2:
            raise Refused("pairs for a dictionary", "others")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if checked_key(key) in table:
                raise Refused("each key once", f"key {ascii(key)[:80]} twice")
            table[key] = value

    def _extend(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Refused("a list to append to", f"a {type(target).__name__}")
        target.extend(items)

    def _tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise Refused("a complete pickle", "a tuple of more than there is")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)


def checked_key(key):
    """`key`, if it may be a dictionary's: text, bytes or an integer. Others could be made to collide."""
    if isinstance(key, (str, bytes, int)):
        return key
    raise Refused("text or integers as keys", f"a {type(key).__name__}")


def _integer(value: int) -> int:
    if value.bit_length() > MAX_INTEGER_BITS:
        raise Refused("integers of 64 bits", f"one of {value.bit_length()} bits")
    return value


def _text_integer(line: bytes):
    if line in (b"00", b"01"):
        return line == b"01"
    return _integer(int(line[:40].rstrip(b"L")))


def _packed_integer(machine: Machine, count: int) -> None:
    if count > 16:
        raise Refused("integers of 64 bits", f"one of {count} bytes")
    machine._push(_integer(int.from_bytes(machine._take(count), "little", signed=True)))


def _quoted(line: bytes) -> str:
    if not _QUOTED.fullmatch(line):
        raise Refused("a quoted string", ascii(line[:40]))
    return codecs.escape_decode(line.strip()[1:-1])[0].decode("latin-1")


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("data", "a reference to an unnamed class")
    machine._global(module, name)


def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine._to_mark()


def _dict_of_mark(machine: Machine) -> None:
    pairs = machine._to_mark()
    machine._push({})
    machine._store(pairs)


def _frame(machine: Machine) -> None:
    length = machine._number("<Q")
    if machine.position + length > machine.size:
        raise Refused(f"{machine.size} bytes, the size of the file", f"a frame of {length} bytes")


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(key: Callable[[Machine], int]):
    def handler(machine: Machine) -> None:
        machine.memo[key(machine)] = machine.stack[-1]
    return handler


def _get(key: Callable[[Machine], int]):
    def handler(machine: Machine) -> None:
        machine.stack.append(machine.memo[key(machine)])
    return handler


def _one_byte(machine: Machine) -> int:
    return machine._take(1)[0]


def _four_bytes(machine: Machine) -> int:
    return machine._number("<I")


def _decimal(machine: Machine) -> int:
    return int(machine._line()[:20])


def _protocol(machine: Machine) -> None:
    if machine._take(1)[0] > 5:
        raise Refused("a pickle of protocol 0 to 5", "a later one")


_STOP = ord(".")
_HANDLERS: dict[int, Callable[[Machine], None]] = {
    0x80: _protocol, 0x95: _frame, ord("("): _mark, ord("0"): _pop, ord("1"): Machine._to_mark,
    ord("2"): lambda m: m._push(m.stack[-1]),
    ord("N"): lambda m: m._push(None), 0x88: lambda m: m._push(True), 0x89: lambda m: m._push(False),
    ord("I"): lambda m: m._push(_text_integer(m._line())), ord("L"): lambda m: m._push(_text_integer(m._line())),
    ord("J"): lambda m: m._push(m._number("<i")), ord("K"): lambda m: m._push(_one_byte(m)),
    ord("M"): lambda m: m._push(m._number("<H")), 0x8A: lambda m: _packed_integer(m, _one_byte(m)),
    0x8B: lambda m: _packed_integer(m, _four_bytes(m)),
    ord("F"): lambda m: m._push(float(m._line()[:40])), ord("G"): lambda m: m._push(m._number(">d")),
    ord("S"): lambda m: m._push(_quoted(m._line())),
    ord("T"): lambda m: m._string(m._number("<i"), "latin1"), ord("U"): lambda m: m._string(_one_byte(m), "latin1"),
    ord("B"): lambda m: m._string(_four_bytes(m), "bytes"), ord("C"): lambda m: m._string(_one_byte(m), "bytes"),
    0x8E: lambda m: m._string(m._number("<Q"), "bytes"), 0x96: lambda m: m._string(m._number("<Q"), "bytes"),
    ord("V"): lambda m: m._push(m._line().decode("raw-unicode-escape")),
    ord("X"): lambda m: m._string(_four_bytes(m), "utf8"), 0x8C: lambda m: m._string(_one_byte(m), "utf8"),
    0x8D: lambda m: m._string(m._number("<Q"), "utf8"),
    ord("]"): lambda m: m._push([]), ord("}"): lambda m: m._push({}), ord(")"): lambda m: m._push(()),
    ord("l"): lambda m: m._push(m._to_mark()), ord("t"): lambda m: m._push(tuple(m._to_mark())),
    ord("d"): _dict_of_mark,
    0x85: lambda m: m._tuple(1), 0x86: lambda m: m._tuple(2), 0x87: lambda m: m._tuple(3),
    ord("a"): lambda m: m._extend([m.stack.pop()]), ord("e"): lambda m: m._extend(m._to_mark()),
    ord("s"): lambda m: m._store([m.stack.pop(), m.stack.pop()][::-1]), ord("u"): lambda m: m._store(m._to_mark()),
    ord("p"): _put(_decimal), ord("q"): _put(_one_byte), ord("r"): _put(_four_bytes), 0x94: _memoize,
    ord("g"): _get(_decimal), ord("h"): _get(_one_byte), ord("j"): _get(_four_bytes),
    ord("c"): lambda m: m._global(m._line().decode("utf-8"), m._line().decode("utf-8")), 0x93: _stack_global,
    ord("R"): Machine._reduce, ord("b"): Machine._build,
    ord("P"): lambda m: m._persistent_id(m._line().decode("ascii")),
    ord("Q"): lambda m: m._persistent_id(m.stack.pop()),
}
