"""A machine's record goes forward, and its request stays what it was when it was made."""

from __future__ import annotations

from outlast_orchestrator.core.types import Instance, InstancePhase
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import STORE_RESTORED, Fact, Fault, StoreWrote

ORDER = tuple(InstancePhase)


class Records(Checker):
    """A machine that was taken for gone and is listed again goes back to be ended, and nowhere else."""

    name = "a machine's record goes forward"
    sees = (Fault, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[str, Instance] = {}

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._records.clear()  # the store is an old one: what it knows has gone back
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Instance):
                    self._judge(row)

    def _judge(self, row: Instance) -> None:
        known = self._records.get(row.launch_id)
        self._records[row.launch_id] = row
        if known is None:
            return
        if row.request.launch_id != known.request.launch_id or row.request.offer != known.request.offer:
            self.broken(f"{row.job}: the request of launch {row.launch_id} was changed after it was made")
        if row.taken is not None and row.taken not in row.request.others:
            self.broken(f"{row.job}: {row.launch_id} is in {row.taken.pool}, which its request does not name")
        if ORDER.index(row.phase) < ORDER.index(known.phase):
            found_again = known.phase is InstancePhase.GONE and row.phase is InstancePhase.TERMINATING
            if not found_again:
                self.broken(
                    f"{row.job}: the record of {row.launch_id} went from {known.phase.value} "
                    f"back to {row.phase.value}"
                )
