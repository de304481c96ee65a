"""Read lists of integers out of a pickle without unpickling it: nothing that the file names is imported or called.

The opcodes are followed on a stack of our own. It knows dicts, lists, tuples, strings, integers and single integers of
numpy, which come under names that are looked up in a table of this module; anything else is refused.
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
    """An integer type of numpy: `i` or `u` and its bytes. Its byte order comes after it."""

    code: str
    order: Any = "little"

    def set_state(self, state: tuple[Any, ...]) -> None:
        self.order = BYTE_ORDERS[state[1]]

    def value(self, data: bytes) -> int:
        if len(data) != int(self.code[1:]):
            raise ValueError(f"{len(data)} bytes for a number of the type {self.code}")
        return int.from_bytes(data, self.order, signed=self.code[0] == "i")


def _integer_type(code: str, *_: bool) -> _IntegerType:
    if code not in {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}:
        raise ValueError(f"numbers of the type {code!r:.40} are no integers")
    return _IntegerType(code)


KNOWN: dict[str, Callable[..., Any]] = {
    "numpy dtype": _integer_type,
    "numpy.core.multiarray scalar": _IntegerType.value,
    "numpy._core.multiarray scalar": _IntegerType.value,
    # How protocols before 3 write bytes.
    "_codecs encode": lambda text, _: text.encode("latin-1"),
}


def read_pickled_lists(data: bytes) -> dict[str, list[int | str]]:
    """The lists of a pickled dict of lists (or tuples) of integers or strings, by key; of any protocol.

    Raises:
        ValueError: it is no whole pickle, or holds anything else.
    """
    try:
        found = _follow(data)
    # What a broken or hostile sequence of opcodes does to the stack.
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no whole pickle of lists of integers: {error}") from None
    lists = {}
    for key, items in found.items() if isinstance(found, dict) else [("", None)]:
        if not (isinstance(key, str) and isinstance(items, list | tuple)):
            raise ValueError("it holds no lists by name")
        if not all(isinstance(item, int | str) for item in items):
            raise ValueError(f"its list {key!r:.40} holds other things than integers and names")
        lists[key] = list(items)
    return lists


def _follow(data: bytes) -> Any:
    """What a pickle's opcodes leave on the stack."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        place = marks.pop()
        items = stack[place:]
        del stack[place:]
        return items

    def known(name: str) -> Callable[..., Any]:
        if name not in KNOWN:
            raise ValueError(f"it wants to import {name!r:.80}, which is not done")
        return KNOWN[name]

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
                stack.append(known(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(known(f"{module} {name}"))
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
                raise ValueError(f"its opcode {name} is not followed")
    raise AssertionError
