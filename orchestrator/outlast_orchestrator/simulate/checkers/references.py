"""A checkpoint names again only what its parent names: nothing else is sure to stay for as long as it."""

from __future__ import annotations

from outlast.protocol.objects import Manifest, data_prefix, siblings_prefix
from outlast_orchestrator.simulate.checkers.base import Checker, job_of, manifest_in, path_of
from outlast_orchestrator.simulate.history import Fact, Wrote


class References(Checker):
    """A gang's names the parts of its nodes too, of the same step and generation."""

    name = "only the parent's objects are named again"
    sees = (Wrote,)

    def __init__(self) -> None:
        super().__init__()
        self._manifests: dict[tuple[str, str], Manifest] = {}

    def saw(self, fact: Fact) -> None:
        if not isinstance(fact, Wrote) or not path_of(fact.key).startswith("manifests/"):
            return
        job, manifest = job_of(fact.key), manifest_in(fact.body)
        self._manifests[job, manifest.name] = manifest
        parent = None if manifest.parent is None else self._manifests.get((job, manifest.parent.name))
        named = set() if parent is None else {(entry.key, entry.hash) for entry in parent.files}
        for entry in manifest.files:
            own = entry.key.startswith(data_prefix(manifest.name))
            sibling = manifest.world_size > 1 and entry.key.startswith(siblings_prefix(manifest.name))
            if not own and not sibling and (entry.key, entry.hash) not in named:
                self.broken(f"{job}: {manifest.name} names {entry.key}, which its parent does not name")
