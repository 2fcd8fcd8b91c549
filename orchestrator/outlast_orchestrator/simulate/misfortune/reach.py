"""Bad luck on the way: a rough bucket, and every combination of who cannot reach whom."""

from __future__ import annotations

from collections.abc import Sequence

from outlast_orchestrator.simulate.bucket import BucketTrouble
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage
from outlast_orchestrator.simulate.network import BUCKET, CLOUD

AFTERWARDS_S = 60.0  # what was sent in the trouble may still be waited for after it


class Reach:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def kinds(self) -> list[Kind]:
        return [
            ("bucket rough", 1.5, self._storm),
            ("bucket late", 1.0, self._late),
            ("controller cut from agent", 1.2, lambda: self._cut_agent(to_controllers=True)),
            ("bucket cut from agent", 1.0, lambda: self._cut_agent(to_bucket=True)),
            ("agent cut from all", 1.0, lambda: self._cut_agent(to_controllers=True, to_bucket=True)),
            ("controller cut from bucket", 0.8, lambda: self._cut_controller([BUCKET])),
            ("controller cut from cloud", 0.8, lambda: self._cut_controller([CLOUD])),
            ("controller cut from all", 0.6, self._cut_controller_from_all),
            ("network in pieces", 1.0, self._in_pieces),
        ]

    # the bucket

    def _storm(self) -> bool:
        dice, seconds = self._stage.dice, self._stage.while_s()
        late = dice.choice((0.0, 0.2))
        trouble = BucketTrouble(dice.choice((0.0, 0.3)), 0.1, dice.choice((0.1, 0.3)), late)
        return self._worsen(seconds, trouble)

    def _late(self) -> bool:
        """For a short time nearly every write arrives when nobody waits for it any more, if at all."""
        dice, seconds = self._stage.dice, self._stage.dice.choice((30.0, 90.0))
        trouble = BucketTrouble(request_lost=0.1, reply_lost=dice.choice((0.1, 0.4)), late=0.4)
        return self._worsen(seconds, trouble)

    def _worsen(self, seconds: float, trouble: BucketTrouble) -> bool:
        stage = self._stage
        stage.bucket.worsen(seconds, trouble)
        stage.rough_until_s = max(stage.rough_until_s, stage.clock.now_s + seconds + AFTERWARDS_S)
        text = (
            f"for {seconds:.0f} s: {trouble.refused:.0%} refused, {trouble.request_lost:.0%} lost, "
            f"{trouble.late:.0%} late, {trouble.reply_lost:.0%} without a reply"
        )
        return stage.told("bucket rough", text, seconds=seconds + AFTERWARDS_S)

    # the network

    def _cut_agent(self, *, to_controllers: bool = False, to_bucket: bool = False) -> bool:
        stage, machine = self._stage, self._stage.any_machine()
        if machine is None:
            return False
        places = [room.place for room in stage.rooms] if to_controllers else []
        self._cut(machine.id, [*places, BUCKET] if to_bucket else places, stage.while_s(), machine.id)
        return True

    def _cut_controller(self, places: Sequence[str]) -> bool:
        stage = self._stage
        self._cut(stage.dice.choice(stage.rooms).place, places, stage.while_s(), "")
        return True

    def _cut_controller_from_all(self) -> bool:
        """As if its own cable were pulled: it runs, and reaches nothing but its store."""
        return self._cut_controller([BUCKET, CLOUD, *self._stage.hosts])

    def _in_pieces(self) -> bool:
        """Each way between controllers, bucket, cloud and agents is open or cut, by chance."""
        stage, seconds = self._stage, self._stage.while_s()
        rooms = [room.place for room in stage.rooms]
        for room in rooms:
            self._cut(room, self._some(BUCKET, CLOUD), seconds, "")
        for host in list(stage.hosts.values()):
            if host.machine.alive:
                self._cut(host.machine.id, self._some(BUCKET, *rooms), seconds, host.machine.id)
        return True

    def _some(self, *places: str) -> list[str]:
        return [place for place in places if self._stage.dice.random() < 0.5]

    def _cut(self, one: str, others: Sequence[str], seconds: float, machine: str) -> None:
        if not others:
            return
        for other in others:
            self._stage.network.cut(one, other, seconds)
        text = f"{one} from {', '.join(others)} for {seconds:.0f} s"
        self._stage.told("network cut", text, machine, seconds + AFTERWARDS_S)
