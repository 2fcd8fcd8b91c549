"""Bad luck with processes: killed or frozen at any instruction, or in the middle of a certain deed."""

from __future__ import annotations

from collections.abc import Callable

from outlast_orchestrator.simulate.clock import Process
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage

CROSSINGS_MAX = 40  # a kill or a freeze hits one of the next touches of the world
AFTERWARDS_S = 60.0
PASSING_MAX = 4  # deeds of that kind that are let pass
AGENTS_DEEDS = ("delete", "delete", "replace", "replace", "create", "upload", "get", "list")
CONTROLLERS_DEEDS = ("commit", "launch", "terminate", "install", "create", "get")


class Processes:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def kinds(self) -> list[Kind]:
        return [
            ("controller killed", 1.2, lambda: self._kill_controller("")),
            ("controller killed in a deed", 0.6, lambda: self._kill_controller(self._controllers_deed())),
            ("controller frozen", 0.8, lambda: self._freeze_controller("")),
            ("controller frozen in a deed", 0.8, lambda: self._freeze_controller(self._controllers_deed())),
            ("agent killed", 0.8, lambda: self._kill_agent("")),
            ("agent killed in a deed", 0.6, lambda: self._kill_agent(self._agents_deed())),
            ("agent frozen", 0.8, lambda: self._freeze_agent("")),
            ("agent frozen in a deed", 1.2, lambda: self._freeze_agent(self._agents_deed())),
            ("machine paused", 0.7, self._pause_machine),
        ]

    def _agents_deed(self) -> str:
        return self._stage.dice.choice(AGENTS_DEEDS)

    def _controllers_deed(self) -> str:
        return self._stage.dice.choice(CONTROLLERS_DEEDS)

    def _lie_in_wait(self, process: Process, deed: str, action: Callable[[], None]) -> str:
        dice = self._stage.dice
        if not deed:
            process.trip(dice.randrange(1, CROSSINGS_MAX), action)
            return ""
        process.ambush(deed, dice.randrange(PASSING_MAX), action)
        return f" in the middle of a {deed}"

    # controllers

    def _kill_controller(self, deed: str) -> bool:
        found, away_s = self._stage.any_controller(), self._stage.while_s()
        if found is None:
            return False
        room, process = found

        def kill() -> None:
            process.kill("killed by the plan")
            self._stage.clock.after(away_s, room.start_again)

        where = self._lie_in_wait(process, deed, kill)
        return self._stage.told("controller killed", f"{process.name}{where}, back after {away_s:.0f} s")

    def _freeze_controller(self, deed: str) -> bool:
        found, seconds = self._stage.any_controller(), self._stage.while_s()
        if found is None or found[1].frozen:
            return False
        process = found[1]

        def freeze() -> None:
            process.freeze()
            self._stage.clock.after(seconds, process.thaw)

        where = self._lie_in_wait(process, deed, freeze)
        return self._stage.told("controller frozen", f"{process.name}{where} for {seconds:.0f} s")

    # agents

    def _kill_agent(self, deed: str) -> bool:
        found = self._stage.any_agent()
        if found is None:
            return False
        host, process = found

        def kill() -> None:
            process.kill("killed by the plan")
            # It may come long after it was planned: only now is it known whom it disturbs.
            self._stage.told("agent killed", f"{process.name}{where}", host.machine.id)

        where = self._lie_in_wait(process, deed, kill)
        return True

    def _freeze_agent(self, deed: str) -> bool:
        found, seconds = self._stage.any_agent(), self._stage.while_s()
        if found is None or found[1].frozen:
            return False
        host, process = found

        def freeze() -> None:
            process.freeze()
            self._stage.clock.after(seconds, lambda: host.thaw_agent(process))
            text = f"{process.name}{where} for {seconds:.0f} s"
            self._stage.told("agent frozen", text, host.machine.id, seconds + AFTERWARDS_S)

        where = self._lie_in_wait(process, deed, freeze)
        return True

    def _pause_machine(self) -> bool:
        found, seconds = self._stage.any_agent(), self._stage.while_s()
        if found is None or found[0].paused:
            return False
        host = found[0]
        host.pause()
        self._stage.clock.after(seconds, host.resume)
        text = f"{host.machine.id} for {seconds:.0f} s"
        return self._stage.told("machine paused", text, host.machine.id, seconds + AFTERWARDS_S)
