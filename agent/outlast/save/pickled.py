"""Reads words and numbers out of a pickle without running it: no name in it is ever looked up.

`pickletools` walks the instructions; what they would build or call does not exist here.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

PICKLE_BYTES_MAX = 64 << 20
_MEMO = frozenset({"BINPUT", "LONG_BINPUT", "MEMOIZE", "PUT"})


class NoPickle(Exception):
    """Not a pickle, or one that is cut off."""


def _instructions(body: bytes) -> Iterator[tuple[str, object]]:
    try:
        for opcode, argument, _ in pickletools.genops(body):
            if opcode.name not in _MEMO:
                yield opcode.name, argument
    except (ValueError, UnicodeDecodeError, IndexError, OverflowError) as error:
        raise NoPickle(str(error)) from error


def words_in(body: bytes) -> frozenset[str]:
    """All texts in it. Raises NoPickle."""
    return frozenset(argument for _, argument in _instructions(body) if isinstance(argument, str))


def number_after(body: bytes, word: str) -> int | None:
    """The whole number that follows that key in a dict. Raises NoPickle."""
    before: object = None
    for name, argument in _instructions(body):
        if before == word and isinstance(argument, int) and name.startswith(("BININT", "LONG", "INT")):
            return argument
        before = argument if isinstance(argument, str) else None
    return None


def archive_pickle(path: Path) -> bytes:
    """The pickle inside a file of `torch.save`. Raises NoPickle, OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
            stored = [info.compress_type == zipfile.ZIP_STORED for info in inside]
            if stored != [True] or inside[0].file_size > PICKLE_BYTES_MAX:
                raise NoPickle("no archive of torch.save")
            return archive.read(inside[0])
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, RuntimeError) as error:
        # RuntimeError: a flag that was half written asks for a password.
        raise NoPickle(str(error)) from error


@lru_cache(maxsize=512)
def stepped(path: Path, stamp: object, mark: str, word: str) -> int | None:
    """The number under `word` in a file of `torch.save` that names `mark`; None: it does not name it, or has
    no such number. `stamp` changes with the file, which is read once for each. Raises NoPickle, OSError.
    """
    del stamp
    body = archive_pickle(path)
    return number_after(body, word) if mark.encode() in body else None
