"""A source of keys that remembers for whom it was asked, or refuses."""

from __future__ import annotations

from dataclasses import dataclass, field

from outlast.ports import BucketError
from outlast.protocol.messages import BucketKeys


@dataclass
class ListedKeys:
    """Implements `core.ports.Credentials`."""

    refuses: BucketError | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    about: str = "keys of a test"

    def issue(self, storage: str, job: str) -> BucketKeys:
        self.asked.append((storage, job))
        if self.refuses is not None:
            raise self.refuses
        return BucketKeys({"access_key_id": f"of-{job}"}, 60.0)
