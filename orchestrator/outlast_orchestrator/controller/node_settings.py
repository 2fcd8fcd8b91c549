"""What this controller gives every machine: how its agent reaches API and bucket, and what it boots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast.protocol.limits import FENCED_OFF_S, OVER_OFF_S
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.core.tokens import node_token
from outlast_orchestrator.core.types import Instance, Job, LaunchRequest


def _nothing(_request: LaunchRequest) -> str:
    return ""


@dataclass(frozen=True)
class NodeSettings:
    """Times are in seconds."""

    api_url: str
    lease_s: float
    key: bytes  # the nodes' tokens follow from it
    user_data: Callable[[LaunchRequest], str] = _nothing  # what a machine runs when it boots
    over_off_s: float = OVER_OFF_S
    fenced_off_s: float = FENCED_OFF_S
    job_keys: bool = False  # its keys for the bucket come from this controller

    def config(self, job: Job, instance: Instance) -> AgentConfig:
        """What the agent on this machine starts with."""
        offer = instance.offer
        return AgentConfig(
            api_url=self.api_url,
            token=node_token(self.key, instance.launch_id),
            job=job.id,
            owner=job.owner,
            instance=instance.launch_id,
            storage=job.storage,
            lease_s=self.lease_s,
            over_off_s=self.over_off_s,
            fenced_off_s=self.fenced_off_s,
            cloud=offer.cloud,
            region=offer.region,
            instance_id=instance.id,
            job_keys=self.job_keys,
        )
