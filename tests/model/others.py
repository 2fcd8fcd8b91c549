"""The other actors of the model: an agent that was started again, and a person."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.attempt import JOB, OWNER, TOO_LATE, Actor, unheard
from tests.model.replay import PORT, RUNTIME

from outlast.bucket.generations import read_pointer
from outlast.bucket.outcomes import Applied, Fenced, Identity, Mine, Over, Stop
from outlast.bucket.owner import PointerOwner
from outlast.ports import BucketError
from outlast.protocol.objects import ManifestRef, PointerState, pin_key


@dataclass
class Reborn(Actor):
    """The agent that was started again on the disk of one that died: see `PointerTask._recover`."""

    generation: int = 0
    attempt: str = ""

    def step(self) -> None:
        try:
            self._look() if self.phase == "look" else self._recover()
        except BucketError:
            return

    def _look(self) -> None:
        PORT.ask("death of", self.attempt)
        self.phase = "recover"

    def _recover(self) -> None:
        """All in one order, with an owner of its own: the next order finds nothing of this one."""
        me = Identity(OWNER, JOB, self.generation, self.writer, self.attempt)
        owner = PointerOwner(RUNTIME, PORT, me, unheard)
        verdict = owner.adopt()
        if isinstance(verdict, (Applied, Mine)):
            verdict = owner.release("")
            if isinstance(verdict, Applied):
                self.stop("closed", f"{self.generation} {self.writer}")
                return
        if isinstance(verdict, (Over, Fenced)):
            self.stop("over", verdict.why)
        elif isinstance(verdict, Stop):
            self.stop("alarm", verdict.why)


@dataclass
class Person(Actor):
    """Wants the oldest checkpoint pinned (`pin`), or the job to go on from it (`back`)."""

    wish: str = "pin"
    chosen: ManifestRef | None = None

    def step(self) -> None:
        try:
            getattr(self, f"_{self.phase}")()
        except BucketError:
            return

    def _look(self) -> None:
        found = read_pointer(PORT, OWNER, JOB)
        assert found is not None
        self.chosen = found[0].kept[0]
        self.phase = "hold"

    def _hold(self) -> None:
        assert self.chosen is not None
        PORT.put(pin_key(self.chosen.name) + ("+back" if self.wish == "back" else ""), b"")
        self.phase = "watch"

    def _watch(self) -> None:
        found = read_pointer(PORT, OWNER, JOB)
        assert found is not None
        assert self.chosen is not None
        pointer = found[0]
        if self.chosen not in pointer.kept:
            self.stop(TOO_LATE, f"{self.chosen.name} is not kept any more")
        elif self.wish == "pin" and self.chosen.name in pointer.pinned:
            self.stop("pinned", self.chosen.name)
        elif self.wish == "back" and (
            self.chosen.name in pointer.pinned or pointer.state is not PointerState.RUNNING
        ):
            self.phase = "tell"

    def _tell(self) -> None:
        assert self.chosen is not None
        PORT.ask("start from", self.chosen.key, version=self.chosen.hash)
        self.stop("told", self.chosen.name)
