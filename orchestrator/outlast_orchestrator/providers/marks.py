"""How a launch is found again where names are unique: its name and its marks follow from its token. Pure."""

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
    """One token, one name: a second launch finds the first. At most 63 characters, as names there are."""
    return (prefix_of(request.owner) + _plain(request.token))[:_NAME_CHARS].rstrip("-")


def launch_of(name: str, owner: str) -> str:
    """The launch id in a machine's name; "" when it is none of this owner's."""
    prefix = prefix_of(owner)
    return _TRY.sub("", name[len(prefix) :]) if name.startswith(prefix) else ""


def marks_of(request: LaunchRequest) -> dict[str, str]:
    """They come with the machine, and say with which parameters its name was asked for."""
    return {
        OWNER: request.owner,
        JOB: request.job,
        LAUNCH: request.launch_id,
        TOKEN: request.token,
        PRICE: str(round(request.offer.price_usd_h * MICRO)),
        REQUEST: digest_of(request),
    }


def price_of(text: str) -> float:
    """In $/h, of a mark's value; 0 where it is none."""
    return int(text) / MICRO if text.isdigit() else 0.0


def digest_of(request: LaunchRequest) -> str:
    text = json.dumps(asdict(request), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text.lower())
