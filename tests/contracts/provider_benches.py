"""What the contract of a provider needs around it: a way to break its cloud, and to let time pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from tests.providers.local_kit import OWNER, QUICK, local_cloud, provider_of

from outlast_orchestrator.core.ports import Provider
from outlast_orchestrator.core.types import Offer
from outlast_orchestrator.providers.local.control import CloudControl


class Bench(Protocol):
    """One cloud under test. Every implementation of `Provider` brings its own."""

    owner: str

    @property
    def provider(self) -> Provider: ...

    def pass_time(self) -> None:
        """A moment passes: waited for in reality, or put forward on a virtual clock."""

    def break_region(self, region: str) -> None: ...

    def mend(self) -> None: ...

    def dry(self, offer: Offer) -> None:
        """That pool has no capacity from now on."""

    def lose_next_reply(self) -> None:
        """The next launch takes place, but its caller gets no answer."""

    def throttle(self) -> None: ...

    def deny(self) -> None:
        """The account loses its rights."""

    def forget_ended(self) -> None:
        """Ended instances leave the listing soon."""

    def take(self, instance: str) -> None:
        """The market takes that instance, without a notice."""


class LocalBench:
    owner = OWNER

    def __init__(self, control: CloudControl) -> None:
        self._control = control
        self.provider = provider_of(control)

    def pass_time(self) -> None:
        time.sleep(0.05)

    def break_region(self, region: str) -> None:
        self._control.fail_listing(region, None)

    def mend(self) -> None:
        self._control.clear()

    def dry(self, offer: Offer) -> None:
        self._control.refuse(
            None, zone=offer.zone, instance_type=offer.instance_type, market=offer.market.value
        )

    def lose_next_reply(self) -> None:
        self._control.lose_reply("launch")

    def throttle(self) -> None:
        self._control.throttle(None)

    def deny(self) -> None:
        self._control.refuse(None, code="UnauthorizedOperation")

    def forget_ended(self) -> None:
        self._control.configure(ended_listed_s=0.0)

    def take(self, instance: str) -> None:
        self._control.interrupt(instance, notice=False)


@contextmanager
def local_bench(folder: Path) -> Iterator[Bench]:
    with local_cloud(folder, QUICK) as control:
        yield LocalBench(control)


BENCHES: dict[str, Callable[[Path], AbstractContextManager[Bench]]] = {"local": local_bench}
