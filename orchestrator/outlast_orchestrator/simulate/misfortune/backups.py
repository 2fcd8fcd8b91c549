"""Bad luck with the store: it is lost, and what was saved of it some time ago is put in its place."""

from __future__ import annotations

from outlast_orchestrator.simulate.backup import Backup
from outlast_orchestrator.simulate.history import FROM_BACKUP, STORE_RESTORED, StoreWrote
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage


class Backups:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def kinds(self) -> list[Kind]:
        return [(STORE_RESTORED, 0.7, self._plan)]

    def _plan(self) -> None:
        """What will be restored is saved now; it only counts when it has come to pass."""
        stage = self._stage
        age_s, away_s = stage.dice.choice(stage.plan.backup_age_s), stage.while_s()
        backup = stage.store.backup()
        stage.clock.after(age_s, lambda: self._restore(backup, age_s, away_s))

    def _restore(self, backup: Backup, age_s: float, away_s: float) -> None:
        """By hand, as the runbook says it: all controllers are stopped, and then one comes back after the
        other."""
        stage = self._stage
        for room in stage.rooms:
            if room.process is not None:
                room.process.kill("stopped: its store is lost")
        rows = stage.store.restore(backup)
        stage.struck(STORE_RESTORED)
        stage.told(STORE_RESTORED, f"as it was {age_s:.0f} s ago; controllers are back after {away_s:.0f} s")
        stage.history.record(stage.clock.now_s, StoreWrote(FROM_BACKUP, rows, ()))
        for room in stage.rooms:
            stage.clock.after(away_s, room.start_again)
