"""Runs every check of a bucket in order, each one told before it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from outlast_orchestrator.storage import probes, settings_of, wire
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.finding import Finding, Verdict, usable
from outlast_orchestrator.storage.place import Place, open_place

__all__ = ["check_storage", "usable"]

NONCE_BYTES = 8


def check_storage(
    url: str,
    options: Mapping[str, str] = MappingProxyType({}),
    begins: Callable[[str], None] = lambda _what: None,
    clock: CheckClock | None = None,
) -> list[Finding]:
    """What the bucket at `url` is fit for; leaves nothing in it that can be seen.

    `options` are secrets, as `open_bucket` takes them. `begins` is told what comes next. Raises ValueError
    when the URL is not one.
    """
    return list(_checks(open_place(url, options), begins, clock or CheckClock()))


def _checks(place: Place, begins: Callable[[str], None], clock: CheckClock) -> Iterator[Finding]:
    nonce = clock.token(NONCE_BYTES)
    if place.store is None:
        space = probes.space(place)
        yield space
        if space.verdict is Verdict.BAD:
            return
    else:
        begins("clock")
        yield wire.clock_skew(place, clock)
    begins("rights")
    rights = probes.rights(place, nonce)
    yield rights
    if rights.verdict is Verdict.BAD:
        return  # whatever else would be tried fails for the same reason
    begins("conditional writes")
    yield probes.conditions(place, nonce)
    begins("upload in parts, throughput")
    yield from probes.parts(place, nonce, clock)
    if place.store is None:
        return
    begins("damaged upload")
    yield wire.damage(place, nonce)
    begins("rules of the bucket")
    yield from settings_of.bucket_rules(place, wire.old_versions(place, nonce))
