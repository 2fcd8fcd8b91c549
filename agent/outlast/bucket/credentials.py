"""Keys that run out, as obstore asks for them: under its own names, with a time when to ask again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

Keys = Callable[[], Mapping[str, str]]  # valid ones, under the names of a bucket's options; raises NoKeys
# obstore asks anew for what is over, at most ten times a second. Who gives the keys knows when they really
# end, and has the newest: so it is asked at every turn.
_ASK_AGAIN = datetime(2000, 1, 1, tzinfo=timezone.utc)


class NoKeys(Exception):
    """There are none now; the name of its class says why, also through obstore."""


def provider(keys: Keys | None, names: Mapping[str, str]) -> Any:
    """`names`: of an option → of obstore's credential. None: obstore looks for keys by itself."""
    if keys is None:
        return None

    def found() -> dict[str, Any]:
        there = keys()
        credential: dict[str, Any] = {theirs: there[ours] for ours, theirs in names.items() if ours in there}
        return {**credential, "expires_at": _ASK_AGAIN}

    return found
