"""Trains on several machines over plain sockets, as torchrun does over its own: no step without all.

Each node has a state of its own that depends on those of all others, and saves it in its own folder; the
first one hears when a save is wanted and tells the others. Nothing is random, so a run that was interrupted
must end with the same states as one that was not.
"""

import hashlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import outlast
from outlast.checkpoint_files import write

ENV = os.environ
NODES, RANK = int(ENV["OUTLAST_NODES"]), int(ENV["OUTLAST_NODE_RANK"])
PLACE = (ENV["OUTLAST_MASTER_ADDR"], int(ENV["OUTLAST_MASTER_PORT"]))
STEPS, SAVE_EVERY = int(ENV["STEPS"]), int(ENV["SAVE_EVERY"])
MEET_WITHIN_S = 60.0


def mixed(*words: object) -> str:
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


class Gang:
    """Lines of JSON between the first node and each other one."""

    def __init__(self) -> None:
        self.links = self._listen() if RANK == 0 else [self._connect()]
        self.files = [link.makefile("rw") for link in self.links]

    def _listen(self) -> list[socket.socket]:
        with socket.create_server(PLACE) as server:
            server.settimeout(MEET_WITHIN_S)
            return [server.accept()[0] for _ in range(NODES - 1)]

    def _connect(self) -> socket.socket:
        end_s = time.monotonic() + MEET_WITHIN_S
        link = socket.socket()
        while link.connect_ex(PLACE) != 0 and time.monotonic() < end_s:
            link.close()
            time.sleep(0.1)
            link = socket.socket()
        link.getpeername()  # an error when nobody was there
        link.settimeout(MEET_WITHIN_S)
        return link

    def tell(self, value: object) -> None:
        for file in self.files:
            file.write(json.dumps(value) + "\n")
            file.flush()

    def hear(self) -> list[dict[str, Any]]:
        return [json.loads(file.readline()) for file in self.files]  # "" from a peer that is gone: an error

    def exchange(self, state: str, wants_save: bool) -> tuple[dict[str, str], bool]:
        """The states of all nodes by rank, and whether all save now."""
        if RANK > 0:
            self.tell({"rank": RANK, "state": state})
            [answer] = self.hear()
            return answer["states"], answer["save"]
        states = {"0": state} | {str(one["rank"]): one["state"] for one in self.hear()}
        self.tell({"states": states, "save": wants_save})
        return states, wants_save


def save(step: int, state: str) -> None:
    root = Path(ENV["OUTLAST_CHECKPOINT_DIR"])

    def fill(folder: Path) -> None:
        (folder / f"rank-{RANK}.json").write_text(json.dumps([step, state]))

    write(root, step, fill)


def begin() -> tuple[int, str]:
    found = ENV.get("OUTLAST_RESUME_FROM")
    if found is None:
        return 0, mixed("start", RANK)
    for rank in range(NODES):  # every node gets the parts of all
        assert (Path(found) / f"rank-{rank}.json").exists(), os.listdir(found)
    step, state = json.loads((Path(found) / f"rank-{RANK}.json").read_text())
    return step, state


def main() -> None:
    step, state = begin()
    print(f"node {RANK} of {NODES} starts at {step}", flush=True)
    gang = Gang()
    while step < STEPS:
        asked = RANK == 0 and outlast.should_save()
        try:
            states, saves = gang.exchange(state, bool(asked))
        except ValueError:
            sys.exit("a peer is gone")
        step += 1
        state = mixed(step, *(states[str(rank)] for rank in range(NODES)), RANK)
        time.sleep(0.05)
        with open(ENV["TRACK"] + f".{RANK}", "a") as track:
            track.write(f"{ENV['OUTLAST_GENERATION']} {step}\n")
        outlast.log(step=step)
        if saves or step % SAVE_EVERY == 0:
            save(step, state)
    states, _ = gang.exchange(state, False)
    if RANK == 0:
        Path("final.json").write_text(json.dumps(states, sort_keys=True))
        outlast.done()


main()
