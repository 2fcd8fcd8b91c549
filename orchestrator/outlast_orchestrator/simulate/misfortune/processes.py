"""Bad luck with processes: killed or frozen at any instruction, or in the middle of a certain deed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

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
        found: list[Kind] = [("machine paused", 0.7, self._pause_machine)]
        for name, weight, act, deeds in (
            ("controller killed", 1.2, self._kill_controller, ()),
            ("controller killed in a deed", 0.8, self._kill_controller, CONTROLLERS_DEEDS),
            ("controller frozen", 0.8, self._freeze_controller, ()),
            ("controller frozen in a deed", 1.0, self._freeze_controller, CONTROLLERS_DEEDS),
            ("agent killed", 0.8, self._kill_agent, ()),
            ("agent killed in a deed", 0.8, self._kill_agent, AGENTS_DEEDS),
            ("agent frozen", 0.8, self._freeze_agent, ()),
            ("agent frozen in a deed", 1.4, self._freeze_agent, AGENTS_DEEDS),
        ):
            found.append((name, weight, functools.partial(act, name, deeds)))
        return found

    def _lie_in_wait(
        self, kind: str, process: Process, deeds: Sequence[str], action: Callable[[str], None]
    ) -> None:
        """`action` is told what the process was doing, and happens long after now, if ever."""
        dice = self._stage.dice
        deed = dice.choice(deeds) if deeds else ""

        def strike() -> None:
            self._stage.struck(kind)
            action(f"{process.name}{f' in the middle of a {deed}' if deed else ''}")

        if deed:
            process.ambush(deed, dice.randrange(PASSING_MAX), strike)
        else:
            process.trip(dice.randrange(1, CROSSINGS_MAX), strike)

    # controllers

    def _kill_controller(self, kind: str, deeds: Sequence[str]) -> bool | None:
        stage, found, away_s = self._stage, self._stage.any_controller(), self._stage.while_s()
        if found is None:
            return False
        room, process = found

        def kill(whom: str) -> None:
            stage.told("controller killed", f"{whom}, back after {away_s:.0f} s")
            process.kill("killed by the plan")
            stage.clock.after(away_s, room.start_again)

        self._lie_in_wait(kind, process, deeds, kill)
        return None

    def _freeze_controller(self, kind: str, deeds: Sequence[str]) -> bool | None:
        stage, found, seconds = self._stage, self._stage.any_controller(), self._stage.while_s()
        if found is None or found[1].frozen:
            return False
        process = found[1]

        def freeze(whom: str) -> None:
            stage.told("controller frozen", f"{whom} for {seconds:.0f} s")
            process.freeze()
            stage.clock.after(seconds, lambda: self._thaw(process, process.thaw))

        self._lie_in_wait(kind, process, deeds, freeze)
        return None

    def _thaw(self, process: Process, thaw: Callable[[], None]) -> None:
        if process.alive and process.frozen:
            self._stage.told("awake again", process.name)
            thaw()

    # agents

    def _kill_agent(self, kind: str, deeds: Sequence[str]) -> bool | None:
        stage, found = self._stage, self._stage.any_agent()
        if found is None:
            return False
        host, process = found

        def kill(whom: str) -> None:
            stage.told("agent killed", whom, host.machine.id)
            process.kill("killed by the plan")

        self._lie_in_wait(kind, process, deeds, kill)
        return None

    def _freeze_agent(self, kind: str, deeds: Sequence[str]) -> bool | None:
        stage, found, seconds = self._stage, self._stage.any_agent(), self._stage.while_s()
        if found is None or found[1].frozen:
            return False
        host, process = found

        def freeze(whom: str) -> None:
            text = f"{whom} for {seconds:.0f} s"
            stage.told("agent frozen", text, host.machine.id, seconds + AFTERWARDS_S)
            process.freeze()
            stage.clock.after(seconds, lambda: self._thaw(process, lambda: host.thaw_agent(process)))

        self._lie_in_wait(kind, process, deeds, freeze)
        return None

    def _pause_machine(self) -> bool:
        found, seconds = self._stage.any_agent(), self._stage.while_s()
        if found is None or found[0].paused:
            return False
        host = found[0]
        host.pause()
        self._stage.clock.after(seconds, host.resume)
        text = f"{host.machine.id} for {seconds:.0f} s"
        return self._stage.told("machine paused", text, host.machine.id, seconds + AFTERWARDS_S)
