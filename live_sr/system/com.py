"""Calls of COM interfaces by their place in the table of methods. Can be imported on any system."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_long, c_ulong, c_void_p, cast
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

CType = Any  # ctypes has no public name for "a C type"
RELEASE = 2  # QueryInterface, AddRef and Release are the first methods of each interface
FIRST_METHOD = 3


@dataclass(frozen=True)
class Interface:
    """An interface as in its header. `methods`: the names and argument types of its own, in the order of the table."""

    iid: UUID
    methods: tuple[tuple[str, tuple[CType, ...]], ...]

    @property
    def guid(self) -> ctypes.Array[ctypes.c_char]:
        """Its identifier, as calls take it by reference."""
        return make_guid(self.iid)


class ComError(Exception):
    """A call failed. `code`: the HRESULT, as Windows' headers spell it."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call} failed with 0x{code & 0xFFFFFFFF:08X}")
        self.code = code & 0xFFFFFFFF


class ComObject:
    """A reference to an object, which `release` gives back."""

    def __init__(self, interface: Interface, pointer: c_void_p) -> None:
        self._interface = interface
        self._pointer = pointer

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a method. Raises ComError."""
        methods = self._interface.methods
        place, types = next((n, types) for n, (method, types) in enumerate(methods) if method == name)
        function = CFUNCTYPE(c_long, c_void_p, *types)(self._get_address(FIRST_METHOD + place))
        check(name, function(self._pointer, *arguments))

    def fetch(self, name: str, interface: Interface, *arguments: Any) -> ComObject:
        """Calls a method whose last argument receives an object of that interface. Raises ComError."""
        pointer = c_void_p()
        self.call(name, *arguments, ctypes.byref(pointer))
        return ComObject(interface, pointer)

    def release(self) -> None:
        CFUNCTYPE(c_ulong, c_void_p)(self._get_address(RELEASE))(self._pointer)

    def _get_address(self, place: int) -> int:
        table = cast(self._pointer, POINTER(POINTER(c_void_p)))[0]
        address = table[place]
        assert address is not None
        return int(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def check(call: str, result: int) -> None:
    """Raises ComError for a result below zero."""
    if result < 0:
        raise ComError(call, result)


def make_guid(uuid: UUID) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(uuid.bytes_le, 16)
