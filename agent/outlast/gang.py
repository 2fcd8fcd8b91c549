"""How the nodes of a gang find each other, and what their trainers are told of it. Pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from outlast import trainer_contract as contract
from outlast.bucket.outcomes import Fenced, Over, Wait
from outlast.protocol.objects import FORMAT, GangStart, Pointer, PointerState
from outlast.view import Assignment, Identity

HERE = "127.0.0.1"
PORT_FIRST = 20_000  # below those that kernels give to outgoing connections
PORTS = 10_000


@dataclass(frozen=True)
class Meeting:
    """Where the trainers of one attempt meet."""

    nodes: int = 1
    rank: int = 0
    address: str = HERE
    port: int = PORT_FIRST

    def environment(self) -> dict[str, str]:
        return {
            contract.NODES: str(self.nodes),
            contract.NODE_RANK: str(self.rank),
            contract.MASTER_ADDR: self.address,
            contract.MASTER_PORT: str(self.port),
        }

    def plain(self) -> dict[str, str]:
        """The names that torch reads, for a gang; the job's own values win."""
        if self.nodes == 1:
            return {}
        return {"MASTER_ADDR": self.address, "MASTER_PORT": str(self.port)}


def port_of(job: str, generation: int) -> int:
    """Another one for each generation: who is left of the last attempt must not be met."""
    return PORT_FIRST + zlib.crc32(f"{job}/{generation}".encode()) % PORTS


def meeting_of(job: str, assignment: Assignment) -> Meeting:
    start = assignment.start
    if start is not None:
        return Meeting(assignment.world_size, assignment.rank, start.address, start.port)
    port = port_of(job, assignment.generation)
    return Meeting(assignment.world_size, assignment.rank, _first(assignment), port)


def start_of(job: str, assignment: Assignment) -> GangStart:
    """What the first node tells the others, once it has restored."""
    generation, resume = assignment.generation, assignment.resume.ref
    port = port_of(job, generation)
    return GangStart(generation, assignment.writer, resume, _first(assignment), port)


def _first(assignment: Assignment) -> str:
    return assignment.peers[0].address if assignment.world_size > 1 and assignment.peers else HERE


def unreachable_peers(assignment: Assignment) -> str:
    """Ranks that the others could not find, in words; "" when all have an address."""
    if assignment.world_size == 1:
        return ""
    known = {rank for rank, peer in enumerate(assignment.peers) if peer.address}
    return ", ".join(str(rank) for rank in range(assignment.world_size) if rank not in known)


def judge_join(
    found: Pointer | None, generation: int, start: GangStart | None
) -> GangStart | Wait | Over | Fenced:
    """Whether a node that is ready may begin: its first node owns the job, and has said where it starts."""
    if found is None or found.generation < generation:
        return Wait("the first node has not claimed yet")
    if found.generation > generation:
        return Fenced(f"generation {found.generation} owns the job")
    if found.state is not PointerState.RUNNING:
        return Over(found, f"the first node has left: {found.why}")
    if start is None or start.writer != found.writer:
        return Wait("the first node restores")
    return start


def pointer_to_follow(start: GangStart, identity: Identity) -> Pointer:
    """As if the claim had named exactly what the first node restored."""
    kept = () if start.start is None else (start.start,)
    return Pointer(
        FORMAT, identity.owner, identity.job, start.generation, start.writer, (), 1, PointerState.RUNNING,
        start.start, kept, "",
    )  # fmt: skip
