"""A provider whose machines get their host keys with the call, and with nothing that is stored."""

from __future__ import annotations

from outlast_orchestrator.core.ports import Provider
from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.remote.keys import with_host_key


class Keyed:
    """Implements `core.ports.Provider`: passes everything on."""

    def __init__(self, provider: Provider, key: bytes) -> None:
        self._provider = provider
        self._key = key
        self.name = provider.name
        self.offers = provider.offers
        self.regions = provider.regions
        self.instances = provider.instances
        self.terminate = provider.terminate
        self.check = provider.check

    def launch(self, request: LaunchRequest) -> None:
        self._provider.launch(with_host_key(request, self._key))
