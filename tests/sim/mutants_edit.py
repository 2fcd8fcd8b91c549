"""Changes the real code in memory for a while: expressions of one function, or one name of a module."""

from __future__ import annotations
import __future__

import functools
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


@dataclass(frozen=True)
class Edit:
    """The real function with some of its text replaced. Whoever imported it runs the changed one too.

    `where` is `package.module:function` or `package.module:Class.method`. Each text must be there exactly
    once: a mutant whose target has changed is not silently the real code.
    """

    where: str
    swaps: tuple[tuple[str, str], ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        function = _function(self.where)
        before = function.__code__
        function.__code__ = _edited(self)
        try:
            yield
        finally:
            function.__code__ = before


@dataclass(frozen=True)
class Setting:
    """A name of a module (`package.module:NAME`) with another value, where it is looked up at every use."""

    where: str
    value: Any

    @contextmanager
    def applied(self) -> Iterator[None]:
        module, _, name = self.where.partition(":")
        holder = importlib.import_module(module)
        before = getattr(holder, name)
        setattr(holder, name, self.value)
        try:
            yield
        finally:
            setattr(holder, name, before)


Change = Edit | Setting


def edit(where: str, *texts: str) -> Edit:
    """`texts`: old, new, old, new …"""
    return Edit(where, tuple(zip(texts[::2], texts[1::2], strict=True)))


@contextmanager
def changed(changes: Sequence[Change]) -> Iterator[None]:
    with ExitStack() as stack:
        for change in changes:
            stack.enter_context(change.applied())
        yield


def _function(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    assert isinstance(found, FunctionType), f"{where} is not a plain function"
    return found


@functools.cache
def _edited(change: Edit) -> CodeType:
    function = _function(change.where)
    text = textwrap.dedent(inspect.getsource(function))
    for old, new in change.swaps:
        count = text.count(old)
        assert count == 1, f"{change.where}: {old!r} is there {count} times, not once: mend the mutant"
        text = text.replace(old, new)
    module = compile(
        text, f"<mutant of {change.where}>", "exec", __future__.annotations.compiler_flag, dont_inherit=True
    )
    codes = [c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == function.__name__]
    code = codes[0]
    assert code.co_freevars == function.__code__.co_freevars, f"{change.where} is a closure: choose another"
    return code
