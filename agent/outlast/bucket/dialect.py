"""What one kind of object store says on the wire, and what the caller can do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outlast.bucket.credentials import NoKeys
from outlast.ports import BucketError, Conflict, Denied, Exists, Keyless, Missing, Unsure

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)")  # the second: of one key in a batch
# Of the machine's own metadata service, which says 404 where the machine has no role: not of the store.
_NO_TOKEN = re.compile(r"Error performing token request|/latest/api/token|/latest/meta-data/iam/")
_NO_CREDENTIALS = re.compile(r"meta-data|credentials", re.IGNORECASE)
_PROVIDER = re.compile(r"credential provider: (\w+): (.*)")  # what our own source of keys said
_CHECK = "check the credentials and their rights"
_MEND = {
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it (timedatectl set-ntp true)",
    "ExpiredToken": "the credentials are too old: fetch new ones",
    "UserProjectMissing": "who asks pays here: add user_project=PROJECT to the URL",
    "NotImplemented": "it lacks what the protocol rests on: use another store",
}


@dataclass(frozen=True)
class Dialect:
    """The words of one kind of store. `place` is how people write the bucket, e.g. `s3://name`."""

    place: str
    version: Callable[[Any], str | None]  # of what a write or a read returns
    over: Callable[[str], Any]  # the mode of a put that replaces this version only
    no_bucket: frozenset[str]
    no_object: frozenset[str]
    denied: frozenset[str]
    full: frozenset[str]
    undecided: frozenset[str]  # two writes met, and the store says neither who won nor that anybody did
    taken: frozenset[str] = frozenset()  # a create found the key in use
    origin: str = ""  # the web address that its requests go to
    credentials: str = ""  # where they are looked for, told when there are none


@dataclass(frozen=True)
class Answer:
    """A refusal as obstore words it. `kind`: what obstore itself made of it."""

    text: str
    kind: str  # missing, exists, conflict, denied, other
    replacing: bool = False

    @property
    def told(self) -> str:
        return self.text.partition("Debug source")[0]

    @property
    def status(self) -> str:
        return _first(_STATUS, self.text)

    @property
    def code(self) -> str:
        return _first(_CODE, self.text)


def meaning(dialect: Dialect, key: str, answer: Answer) -> BucketError:
    """One table for all: what the store answered → what the caller can do about it."""
    status, code = answer.status, answer.code
    where = f"{dialect.place}/{key}"
    if code in dialect.no_bucket:
        return Denied(f"the bucket {dialect.place} does not exist: create it, or mend its name")
    if code in dialect.full or status == "507":
        return Denied(f"{where}: the quota is used up ({code or status}): raise it, or free some space")
    if said := _PROVIDER.search(answer.told):
        return (Keyless if said[1] == "KeysAway" else Denied)(f"{where}: {said[2].strip()}")
    if _NO_TOKEN.search(answer.told):
        return Denied(f"{where}: no credentials found for the bucket; {dialect.credentials}")
    if answer.kind == "missing" or status == "404":
        return _missing(dialect, where, answer)
    if code in dialect.undecided:
        return Unsure(f"{where}: another write was under way ({status})")
    if code in dialect.taken:
        return Exists(f"{where}: exists already")
    refused = Denied(f"{where}: the store refuses ({code or f'status {status}'}): {_MEND.get(code, _CHECK)}")
    if code in dialect.denied:  # before what obstore makes of it: it reads every 409 and 412 as a condition
        return refused
    if status == "409":
        return Unsure(f"{where}: another write was under way (409)")
    if answer.kind == "exists":
        return Exists(f"{where}: exists already")
    if answer.kind == "conflict":
        return Conflict(f"{where}: it has changed meanwhile")
    if answer.kind == "denied":
        return refused
    if not status and _NO_CREDENTIALS.search(answer.told):
        return Denied(f"{where}: no credentials found for the bucket; {dialect.credentials}")
    return Unsure(f"{where}: {short(answer.text)}")


def _missing(dialect: Dialect, where: str, answer: Answer) -> BucketError:
    if answer.replacing:
        return Conflict(f"{where}: it is gone")
    if answer.code not in dialect.no_object and "HEAD" not in answer.text:
        # Any web server says 404. Taken for "no pointer yet", it would start a job at step 0.
        return Denied(f"{where}: 404, but not as such a store says it: is the endpoint right?")
    return Missing(f"{where}: there is no such object")


def told_of(error: NoKeys) -> str:
    """As obstore words what our own source of keys said."""
    return f"credential provider: {type(error).__name__}: {error}"


def short(text: str) -> str:
    return " ".join(text.partition("Debug source")[0].split())[:300]


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return next(filter(None, found.groups()), "") if found else ""
