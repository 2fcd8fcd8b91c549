"""How a launch is found again: names, labels and the request id, all of which follow from its token. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict

from outlast_orchestrator.core.types import LaunchRequest

OWNER, JOB, LAUNCH, TOKEN, PRICE, REQUEST = (
    f"outlast-{name}" for name in ("owner", "job", "launch", "token", "price-micro", "request")
)
MICRO = 1_000_000
_OWNER_CHARS, _NAME_CHARS = 16, 63
_NOT_IN_NAMES = re.compile(r"[^a-z0-9-]")
# "<prefix of the owner><launch id>-<try>"
_TRY = re.compile(r"-\d+$")


def prefix_of(owner: str) -> str:
    """How the names of all machines of an owner begin."""
    return f"outlast-{_plain(owner)[:_OWNER_CHARS]}-"


def name_of(request: LaunchRequest) -> str:
    """One token, one name: a second insert finds the first. At most 63 characters, as names there are."""
    return (prefix_of(request.owner) + _plain(request.token))[:_NAME_CHARS].rstrip("-")


def launch_of(name: str, owner: str) -> str:
    """The launch id in a machine's name; "" when it is none of this owner's."""
    prefix = prefix_of(owner)
    return _TRY.sub("", name[len(prefix) :]) if name.startswith(prefix) else ""


def request_id_of(request: LaunchRequest, notice_s: int) -> str:
    """Of one body: a second one of the same id would be passed over in silence, whatever it asks for."""
    text = f"{request.owner}/{request.token}/{digest_of(request)}/{notice_s}"
    drawn = hashlib.sha256(text.encode()).hexdigest()
    # A UUID of version 8, which is free to choose the rest. RFC 9562, section 5.8
    return f"{drawn[:8]}-{drawn[8:12]}-8{drawn[13:16]}-8{drawn[17:20]}-{drawn[20:32]}"


def labels_of(request: LaunchRequest) -> dict[str, str]:
    """They come with the machine, and say with which parameters its name was asked for."""
    return {
        OWNER: request.owner,
        JOB: request.job,
        LAUNCH: request.launch_id,
        TOKEN: request.token,
        PRICE: str(round(request.offer.price_usd_h * MICRO)),
        REQUEST: digest_of(request),
    }


def digest_of(request: LaunchRequest) -> str:
    text = json.dumps(asdict(request), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text.lower())
