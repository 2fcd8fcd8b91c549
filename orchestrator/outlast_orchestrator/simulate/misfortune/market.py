"""Bad luck with machines: they are taken with notice, without, too late, not at all; or their host dies."""

from __future__ import annotations

from outlast_orchestrator.core.view import EndProof
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage


class Market:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def kinds(self) -> list[Kind]:
        return [
            ("interruption with notice", 3.0, self._in_time),
            ("interruption without notice", 2.0, lambda: self._interrupt(0.0, noticed=False)),
            ("interruption with late notice", 1.0, self._late),
            ("notice withdrawn", 1.0, self._withdraw),
            ("host died", 1.0, self._host_dies),
        ]

    def _interrupt(self, lead_s: float, *, noticed: bool) -> bool:
        stage, machine = self._stage, self._stage.any_machine()
        if machine is None or machine.interrupting:
            return False
        how = "with notice" if noticed else "without notice"
        stage.told("interruption", f"the market takes {machine.id} in {lead_s:.0f} s, {how}")
        stage.api.cloud.interrupt(machine, lead_s=lead_s, noticed=noticed)
        return True

    def _in_time(self) -> bool:
        return self._interrupt(self._stage.dice.choice((120.0, 300.0)), noticed=True)

    def _late(self) -> bool:
        return self._interrupt(self._stage.dice.uniform(1.0, 30.0), noticed=True)

    def _withdraw(self) -> bool:
        stage, machine = self._stage, self._stage.any_machine()
        if machine is None or machine.interrupting:
            return False
        after_s = stage.dice.uniform(2.0, 100.0)
        stage.told("notice withdrawn", f"{machine.id} gets one, for {after_s:.0f} s", machine.id)
        stage.api.cloud.interrupt(machine, lead_s=120.0, noticed=True)
        stage.clock.after(after_s, lambda: stage.api.cloud.withdraw(machine))
        return True

    def _host_dies(self) -> bool:
        stage, machine = self._stage, self._stage.any_machine()
        if machine is None:
            return False
        stage.told("host died", machine.id, machine.id)
        stage.api.cloud.end(machine, EndProof.HOST, "its host died")
        return True
