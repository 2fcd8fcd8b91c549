"""The ways in which a job may choose among offers, by the name that the job file gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.policies.cheapest import cheapest

POLICIES: Mapping[str, Policy] = {"cheapest": cheapest}
