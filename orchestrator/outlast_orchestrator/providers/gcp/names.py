"""The id under which Compute Engine knows one insert again: it follows from the request's body. Pure."""

from __future__ import annotations

import hashlib

from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.providers.marks import digest_of


def request_id_of(request: LaunchRequest, notice_s: int) -> str:
    """Of one body: a second one of the same id would be passed over in silence, whatever it asks for."""
    text = f"{request.owner}/{request.token}/{digest_of(request)}/{notice_s}"
    drawn = hashlib.sha256(text.encode()).hexdigest()
    # A UUID of version 8, which is free to choose the rest. RFC 9562, section 5.8
    return f"{drawn[:8]}-{drawn[8:12]}-8{drawn[13:16]}-8{drawn[17:20]}-{drawn[20:32]}"
