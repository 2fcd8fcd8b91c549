"""Everything that `kept` names exists, whole, in every state of the bucket."""

from __future__ import annotations

from outlast.bucket.manifest import hash_bytes
from outlast.protocol.objects import Manifest
from outlast_orchestrator.simulate.checkers.base import Checker, Move, job_of, manifest_in, path_of
from outlast_orchestrator.simulate.history import Deleted, Fact, Wrote


class Closure(Checker):
    """Mirrors every object; judges each new manifest, each pointer and each deletion."""

    name = "closure"
    sees = (Wrote, Deleted)

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}  # what each key ever held, deleted since or not
        self._needed: dict[str, frozenset[str]] = {}  # job → keys that its pointer stands on

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Wrote):
            self._objects[fact.key] = fact.body
            self._written[fact.key] = fact.body
            if path_of(fact.key).startswith("manifests/"):
                self._judge(job_of(fact.key), manifest_in(fact.body))
        elif isinstance(fact, Deleted):
            self._objects.pop(fact.key, None)
            if fact.key in self._needed.get(job_of(fact.key), ()):
                self.broken(f"{fact.by} deleted {fact.key}, which the pointer still needs")

    def _judge(self, job: str, manifest: Manifest) -> None:
        # A manifest may arrive long after its sender gave up, when its data was collected as rubbish: the
        # data came first all the same, and no pointer can list it any more.
        for entry in manifest.files:
            body = self._written.get(f"jobs/{job}/{entry.key}")
            if body is None:
                self.broken(f"manifest {manifest.name} came before its object {entry.key}")
            elif len(body) != entry.size or hash_bytes(body) != entry.hash:
                self.broken(f"manifest {manifest.name} gives another size or hash than {entry.key} has")

    def moved(self, move: Move) -> None:
        job, by, after = move.job, move.by, move.after
        needed: set[str] = set()
        for ref in after.kept:
            key = f"jobs/{job}/{ref.key}"
            needed.add(key)
            body = self._objects.get(key)
            if body is None:
                self.broken(f"{by} wrote a pointer whose {ref.key} does not exist")
                continue
            if hash_bytes(body) != ref.hash:
                self.broken(f"{by} wrote a pointer with another hash than {ref.key} has")
            needed.update(f"jobs/{job}/{entry.key}" for entry in manifest_in(body).files)
        for key in sorted(needed):
            if key not in self._objects:
                self.broken(f"{by} wrote a pointer that needs {key}, which does not exist")
        self._needed[job] = frozenset(needed)
