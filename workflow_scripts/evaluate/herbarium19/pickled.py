"""Read lists from a pickle without unpickling it: nothing that the file names is imported or called.

A small interpreter executes the opcodes on its own stack. It supports dicts, lists, tuples, strings, integers and NumPy
integer scalars, whose constructors are looked up in a table in this module; anything else is refused.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Opcodes whose argument is the value.
VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
BYTE_ORDERS = {"<": "little", ">": "big", "|": "little"}


@dataclass
class _IntegerType:
    """A NumPy integer type: `i` or `u` and its size in bytes. The byte order is set by a later opcode."""

    code: str
    order: Any = "little"

    def set_state(self, state: tuple[Any, ...]) -> None:
        self.order = BYTE_ORDERS[state[1]]

    def value(self, data: bytes) -> int:
        if len(data) != int(self.code[1:]):
            raise ValueError(f"an integer of type {self.code} has {len(data)} bytes")
        return int.from_bytes(data, self.order, signed=self.code[0] == "i")


def _integer_type(code: str, *_: bool) -> _IntegerType:
    if code not in {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}:
        raise ValueError(f"NumPy type {code!r:.40} is not an integer type")
    return _IntegerType(code)


CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "numpy dtype": _integer_type,
    "numpy.core.multiarray scalar": _IntegerType.value,
    "numpy._core.multiarray scalar": _IntegerType.value,
    # Bytes in protocols before 3.
    "_codecs encode": lambda text, _: text.encode("latin-1"),
}


def read_pickled_lists(data: bytes) -> dict[str, list[int | str]]:
    """Read a pickled dict of lists (or tuples) of integers or strings, of any protocol.

    Raises:
        ValueError: the pickle is incomplete or contains other objects.
    """
    try:
        found = _execute(data)
    # What a broken or hostile sequence of opcodes does to the stack.
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a complete pickle of lists of integers or strings: {error}") from None
    lists = {}
    for key, items in found.items() if isinstance(found, dict) else [("", None)]:
        if not (isinstance(key, str) and isinstance(items, list | tuple)):
            raise ValueError("expected a dict of lists")
        if not all(isinstance(item, int | str) for item in items):
            raise ValueError(f"list {key!r:.40} contains values other than integers and strings")
        lists[key] = list(items)
    return lists


def _execute(data: bytes) -> Any:
    """Execute a pickle's opcodes and return the resulting object."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        place = marks.pop()
        items = stack[place:]
        del stack[place:]
        return items

    def constructor(name: str) -> Callable[..., Any]:
        if name not in CONSTRUCTORS:
            raise ValueError(f"importing {name!r:.80} is refused")
        return CONSTRUCTORS[name]

    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                memo[len(memo) if argument is None else argument] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE" | "LIST":
                items = since_mark()
                stack.append(tuple(items) if opcode.name == "TUPLE" else items)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "APPEND" | "APPENDS":
                items = since_mark() if opcode.name == "APPENDS" else [stack.pop()]
                stack[-1].extend(items)
            case "DICT" | "SETITEM" | "SETITEMS":
                items = [stack.pop(-2), stack.pop()] if opcode.name == "SETITEM" else since_mark()
                if opcode.name == "DICT":
                    stack.append({})
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                stack.append(constructor(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(constructor(f"{module} {name}"))
            case "REDUCE":
                arguments, call = stack.pop(), stack.pop()
                stack.append(call(*arguments))
            case "BUILD":
                state = stack.pop()
                stack[-1].set_state(state)
            case name if name in VALUES:
                stack.append(argument)
            case name if name in EMPTY:
                stack.append(EMPTY[name]())
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case name:
                raise ValueError(f"opcode {name} is not supported")
    raise AssertionError
