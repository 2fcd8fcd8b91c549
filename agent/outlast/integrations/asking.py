"""What a framework's callback has to know at a step: did the agent ask for a save, and does one leave?"""

from __future__ import annotations

from collections.abc import Mapping

from outlast.integrations.torch_ranks import Ranks
from outlast.trainer_contract import SaveRequest
from outlast.training import Preempted, contact


class Asking:
    """Of one process; all processes call it at the same steps, and hear the same."""

    def __init__(self) -> None:
        self._ranks = Ranks()
        self._request: SaveRequest | None = None
        self._asked = self._final = False

    @property
    def leads(self) -> bool:
        return self._ranks.leads

    def at_step(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Step `step` is finished; True: save now, and call `saved` when that is complete on the disk."""
        here = contact()
        if self.leads:
            here.log(step, metrics)
        self._request = here.request() if self._ranks.first_of_node else None
        final = self._request is not None and self._request.final
        asked, final_any = self._ranks.most((int(self._request is not None), int(final)))
        self._asked, self._final = bool(asked), bool(final_any)
        return self._asked

    def saved(self, step: int, path: str) -> None:
        """Answers, if this save was asked for. Raises Preempted when the machine is being taken."""
        if not self._asked:
            return
        self._ranks.most((0,))  # every process has written its part
        request, self._request, self._asked = self._request, None, False
        if request is not None:
            contact().answer(request, step, path, leaving=self._final)
        if self._final:
            raise Preempted(request.why if request is not None else "another process was asked to leave")
