"""Takes the fencing number of a new attempt, and reads the pointer."""

from __future__ import annotations

from outlast.bucket.keys import TooBig
from outlast.bucket.pointer import BadPointer, parse_pointer
from outlast.ports import Bucket, Exists, Missing, Unsure
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.objects import POINTER_KEY, GenerationTaken, Pointer, generation_key

GENERATION_TRIES_MAX = 64  # numbers tried one by one before the listing is asked for the highest


def read_pointer(bucket: Bucket, owner: str | None, job: str) -> tuple[Pointer, str] | None:
    """The pointer and its version; None when there is none. Raises BadPointer, Unsure, Denied."""
    try:
        blob = bucket.get(POINTER_KEY)
    except Missing:
        return None
    except TooBig as error:
        raise BadPointer(f"{POINTER_KEY} is larger than any pointer: not one of ours.") from error
    return parse_pointer(blob.body, owner, job), blob.version


def take_generation(bucket: Bucket, at_least: int, owner: str, attempt: str, at: str) -> int:
    """The first free number from `at_least` on, now taken for good by `attempt` (a random id).

    Safe to repeat: a number that this attempt took before, while the reply was lost, is found again.
    Raises Unsure (repeat it), Denied.
    """
    generation = max(at_least, 1)
    for tried in range(2 * GENERATION_TRIES_MAX):
        taken = GenerationTaken(generation, owner, attempt, at)
        try:
            bucket.create(generation_key(generation), dump(taken))
            return generation
        except (Exists, Unsure) as error:
            if _taker(bucket, generation, error) == (owner, attempt):
                return generation
        generation += 1
        if tried == GENERATION_TRIES_MAX:
            generation = max(generation, 1 + _highest(bucket))
    raise Unsure(f"{generation_key(generation)}: other attempts take numbers faster than this one")


def _taker(bucket: Bucket, generation: int, error: Exists | Unsure) -> tuple[str, str]:
    """Who holds the number. Raises Unsure when a create was in doubt and nothing is there (yet)."""
    try:
        taken = load(GenerationTaken, bucket.get(generation_key(generation)).body)
    except Missing:
        raise Unsure(f"{generation_key(generation)}: not known whether it was created") from error
    except FormatError:
        return ("", "")  # whatever it is, the number is not free
    return (taken.owner, taken.attempt)


def _highest(bucket: Bucket) -> int:
    numbers = (info.key.removeprefix("generations/") for info in bucket.list("generations/"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)
