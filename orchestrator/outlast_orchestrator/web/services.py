"""All that the API stands on, given by the composition root."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from outlast.ports import Bucket
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.core.ports import Clock, Credentials, Nodes, Policy, Store
from outlast_orchestrator.core.types import OVER, Job, Offer, Want
from outlast_orchestrator.core.view import Ended, Strays
from outlast_orchestrator.store.secrets import SecretFiles, missing
from outlast_orchestrator.web.problems import Refusal

SIMILAR_MAX = 3


def _unknown_wake(_job: str) -> float | None:
    return None


def _leading() -> bool:
    return True


@dataclass(frozen=True)
class CloudCheck:
    """What is wrong with a configured cloud, each with its mend; `way`: how its machines are reached."""

    cloud: str
    way: str
    problems: tuple[str, ...]


def _ends_none(_ids: Sequence[str], _by: str) -> list[Ended]:
    return []


@dataclass(frozen=True)
class Services:
    store: Store
    nodes: Nodes
    clock: Clock
    wake: Callable[[], None]  # has the tick look at once
    buckets: Callable[[str, str], Bucket]  # (storage URL, prefix): the bucket seen from there
    storage: str  # where new jobs go
    offers: Callable[[Want], list[Offer]]  # of all configured clouds; raises ProviderError
    policies: Mapping[str, Policy] = field(default_factory=dict)
    strays: Callable[[], Strays] = Strays  # machines with our tag that no record owns; slow
    end_strays: Callable[[Sequence[str], str], list[Ended]] = _ends_none  # ids, and who wants it; slow
    check: Callable[[], list[CloudCheck]] = list  # asks each configured cloud; slow
    next_wake_s: Callable[[str], float | None] = _unknown_wake  # from now until that job is looked at again
    notice_s: Callable[[str], float | None] = _unknown_wake  # by cloud: how long before the end it warns
    leading: Callable[[], bool] = _leading
    secrets: SecretFiles | None = None  # None: there are none
    credentials: Credentials | None = None  # None: nodes are given no keys for the bucket

    def find(self, name_or_id: str) -> Job:
        job = self.store.job(name_or_id)
        if job is None:
            raise Refusal(404, f"there is no job {name_or_id!r}{self._similar(name_or_id)}")
        return job

    def living(self, name: str) -> str | None:
        """The job that has this name and is not over: known before anybody sends a working folder."""
        job = self.store.job(name)
        over = {progress.job for progress in self.store.progress() if progress.state in OVER}
        return job.id if job is not None and job.name == name and job.id not in over else None

    def need_secrets(self, names: Sequence[str]) -> None:
        """Known before a machine is paid for. Raises UserError."""
        known = {} if self.secrets is None else self.secrets.names()
        for name in names:
            if name not in known:
                raise missing(name)

    def bucket(self, job: str, storage: str = "") -> Bucket:
        """The job's own corner of its bucket."""
        return self.buckets(storage or self.storage, job_prefix(job))

    def _similar(self, name: str) -> str:
        names = sorted({job.name for job in self.store.jobs()})
        close = difflib.get_close_matches(name, names, SIMILAR_MAX)
        if close:
            return "; did you mean " + " or ".join(close) + "?"
        return "; `outlast ps` lists them all" if names else "; none was submitted here yet"
