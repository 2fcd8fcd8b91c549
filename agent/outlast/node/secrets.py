"""The values of the job's secrets: kept in memory, for the trainer alone, and hidden in what it prints."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from outlast.node_ports import NodeTrouble
from outlast.ports import LinkDown, LinkRefused, Unsure

SERVERS = "OUTLAST_SECRET_"  # names of the server's own: an agent on the same machine may inherit them
HIDDEN_CHARS_MIN = 6  # a shorter one is a word that may stand anywhere


class SecretBox:
    """`fetch` asks the controller. Raises LinkDown, LinkRefused."""

    def __init__(self, fetch: Callable[[], Mapping[str, str]] = dict) -> None:
        self._fetch = fetch
        self._values: dict[str, str] = {}

    def bring(self, names: Sequence[str]) -> None:
        """Before each start anew: what was changed meanwhile counts. Raises NodeTrouble, Unsure."""
        if not names:
            self._values = {}
            return
        try:
            found = self._fetch()
        except LinkDown as error:
            raise Unsure(f"the job's secrets: {error}") from error
        except LinkRefused as error:
            raise NodeTrouble("secrets", str(error), fatal=True) from error
        self._values = {name: found[name] for name in names if name in found}

    def environment(self) -> Mapping[str, str]:
        return self._values

    def hidden(self) -> tuple[bytes, ...]:
        """What must not be shown, the longest first: one may be a part of another."""
        values = {value.encode() for value in self._values.values() if len(value) >= HIDDEN_CHARS_MIN}
        return tuple(sorted(values, key=len, reverse=True))


def inherited(without: Collection[str]) -> dict[str, str]:
    """This process's own variables for one that it starts, without those names and the server's secrets."""
    found = os.environ.items()
    return {name: value for name, value in found if name not in without and not name.startswith(SERVERS)}


def hide(data: bytes, values: Sequence[bytes]) -> bytes:
    """As long as before: places in the file stay what they are."""
    for value in values:
        data = data.replace(value, b"*" * len(value))
    return data


def begun(data: bytes, values: Sequence[bytes]) -> int:
    """How many bytes at the end may be the beginning of one of them: the rest is not printed yet."""
    lengths = [n for value in values for n in range(1, len(value)) if data.endswith(value[:n])]
    return max(lengths, default=0)
