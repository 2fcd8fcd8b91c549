"""A gang's nodes for tests of the agent's rules: the first one, and one that follows it."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.scene import ASSIGN, RUN, Scene, pointer, ref

from outlast.acts import (
    Act,
)
from outlast.bucket.outcomes import Applied
from outlast.news import (
    ClaimAnswered,
    Joined,
    LeaderSeen,
    Prepared,
    Remembered,
    Restored,
    Started,
)
from outlast.protocol.messages import AgentState, Peer
from outlast.protocol.objects import GangStart
from outlast.view import Resume

PEERS = (Peer("l-0", "i-0", "10.0.0.1"), Peer("l-1", "i-1", "10.0.0.2"))
SECOND = replace(ASSIGN, rank=1, world_size=2, peers=PEERS)
FIRST = replace(ASSIGN, rank=0, world_size=2, peers=PEERS)
START = GangStart(1, "w-0", ref(10), "10.0.0.1", 21000)


def ready() -> Scene:
    scene = Scene()
    scene.told(SECOND)
    scene.hear(Prepared(1, "ready"))
    scene.hear(Remembered(1, ""))
    return scene


def follows() -> Scene:
    scene = ready()
    scene.hear(Joined(1, START))
    scene.hear(Restored(1, Resume("/saves/x", 10, ref(10))))
    scene.hear(Started(1, None))
    return scene


def leads() -> Scene:
    scene = Scene()
    scene.told(FIRST)
    scene.hear(Prepared(1, "ready"))
    scene.hear(Remembered(1, "w"))
    return scene


def leader(scene: Scene, state: AgentState, step: int | None = None) -> list[Act]:
    return scene.hear(LeaderSeen(1, state, step, "said so"))


def running_leader() -> Scene:
    scene = leads()
    scene.answered(FIRST, RUN)
    scene.hear(ClaimAnswered(1, Applied(pointer(), "claimed")))
    scene.hear(Restored(1, Resume()))
    scene.hear(Started(1, None))
    return scene
