"""`agent run` for real: no controller, one storage, machines that come and go, are killed and stand still."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.alone.rig import NAME, Rig
from tests.agent.node.agent_kit import gone
from tests.servers.seaweedfs import ADMIN, seaweedfs

from outlast.alone.judge import EXIT_NEEDS_A_PERSON, EXIT_TAKEN_OVER
from outlast.protocol.objects import PointerState, job_prefix


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    try:
        yield rig
    finally:
        rig.close()


def test_from_the_first_run_to_the_end_and_what_a_new_start_means_after_each(rig: Rig) -> None:
    first = rig.place("one")
    assert first.run(LAST="100", CRASH_AT="25") == 3
    pointer = rig.pointer()
    assert pointer is not None
    assert (pointer.state, pointer.exit_code, rig.head()) == (PointerState.ENDED, 3, 20)
    assert first.run(LAST="40") == 0  # whoever starts it again after a failure wants it to go on
    assert rig.told("began") == [0, 20]
    assert rig.head() == 40
    steps = rig.told("step")
    other = rig.place("two")
    assert other.run(LAST="60") == 0  # done: nothing is trained, on any machine
    assert "this job is done" in other.says()
    assert rig.told("step") == steps
    assert other.run("--restart", LAST="60") == 0
    assert rig.told("began") == [0, 20, 40]
    assert (other.folder / "out").read_text() == "starting at 40\n"
    assert {p.name for p in (rig.folder / "bucket" / job_prefix(NAME) / "logs").iterdir()} >= {
        "g1-r0",
        "g2-r0",
    }


def test_of_two_that_are_started_together_one_trains_and_the_other_waits(rig: Rig) -> None:
    places = [rig.place("one"), rig.place("two")]
    for place in places:
        place.start()
    rig.until("it trains", lambda: rig.head() >= 20)
    writers = set()
    for _ in range(3):
        rig.goes_on()
        pointer = rig.pointer()
        assert pointer is not None
        writers.add((pointer.generation, pointer.writer))
    assert len(writers) == 1
    rig.finish()
    assert [place.ends() for place in places] == [0, 0]
    assert rig.told("began") == [0]
    (waited,) = [place for place in places if "trainer.started" not in place.says()]
    assert "while this run waited" in waited.says()


def test_a_machine_that_dies_is_replaced_after_its_lease(rig: Rig) -> None:
    first, second = rig.place("one"), rig.place("two")
    first.start()
    rig.until("it has saved", lambda: rig.head() >= 10)
    second.start()
    rig.until("it waits", lambda: "has the job" in second.says())
    first.signal(signal.SIGKILL)
    first.ends()
    head = rig.head()
    rig.until("the other takes over", lambda: len(rig.told("began")) == 2)
    assert rig.told("began")[1] == head
    assert all(gone(pid) for pid in rig.told("pid")[:1])
    assert "no sign of life" in second.says()
    rig.finish()
    assert second.ends() == 0


def test_one_that_stood_still_beyond_its_lease_is_fenced_when_it_wakes_and_its_trainer_dead(rig: Rig) -> None:
    first, second = rig.place("one"), rig.place("two")
    first.start()
    rig.until("it has saved", lambda: rig.head() >= 10)
    (sleeper,) = rig.told("pid")
    rig.stand_still(first)
    second.start()
    rig.until("the other has taken over and saved", lambda: len(rig.told("began")) == 2 and rig.head() >= 20)
    pointer = rig.pointer()
    assert pointer is not None
    assert not gone(sleeper)  # only its agent stood still
    first.signal(signal.SIGCONT)
    rig.until("its trainer is dead", lambda: gone(sleeper))
    assert first.ends() == EXIT_TAKEN_OVER
    assert "taken the job over" in first.says()
    after = rig.pointer()
    assert after is not None
    assert (after.generation, after.writer) == (pointer.generation, pointer.writer)
    assert all(ref.name.split("-")[1] in ("g1", f"g{pointer.generation}") for ref in after.kept)
    began = rig.told("began")[1]
    assert rig.told("step", pointer.generation)[0] == began + 1
    rig.finish()
    assert second.ends() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_leave_it_saves_and_releases_and_no_step_is_lost(rig: Rig, number: int, status: int) -> None:
    place = rig.place("one")
    place.start()
    rig.until("it trains", lambda: len(rig.told("step")) > 12)
    place.signal(number)
    assert place.ends() == status
    assert ("Ctrl-C again leaves at once" in place.says()) == (number == signal.SIGINT)
    pointer = rig.pointer()
    assert pointer is not None
    assert pointer.state is PointerState.RELEASED
    last = rig.told("step")[-1]
    assert rig.head() == last
    rig.finish()
    other = rig.place("two")
    assert other.run() == 0  # at once: what was released needs no lease to pass
    assert rig.told("began")[-1] == last


def test_started_again_where_it_was_killed_it_goes_on_at_once(rig: Rig) -> None:
    place = rig.place("one")
    place.start(lease_s=600.0)
    rig.until("it has saved", lambda: rig.head() >= 10)
    place.signal(signal.SIGKILL)
    place.ends()
    head = rig.head()
    rig.finish()
    place.start(lease_s=600.0)
    assert place.ends() == 0
    assert rig.told("began")[-1] >= head


def test_a_pointer_that_somebody_removed_stops_it(rig: Rig) -> None:
    place = rig.place("one")
    assert place.run(LAST="20", CRASH_AT="15") == 3
    (rig.folder / "bucket" / job_prefix(NAME) / "latest.json").unlink()
    other = rig.place("two")
    assert other.run(LAST="20") == EXIT_NEEDS_A_PERSON
    assert "not starting at step 0" in other.says()
    assert rig.told("began") == [0]


def test_what_it_refuses_to_begin_with(rig: Rig) -> None:
    place = rig.place("one")
    strange = place.folder / "checkpoints" / "step_7.bin"
    strange.parent.mkdir()
    strange.write_bytes(b"weights")
    assert place.run(LAST="20") == 2
    assert "step_7" in place.says()
    assert "--keep-existing" in place.says()
    assert rig.told("began") == []
    place.start("--keep-existing")
    rig.until("it trains", lambda: rig.told("step"))
    assert strange.exists()
    first = place.process
    assert place.run() == 2  # a second one in the same folder would write into the same files
    assert "another `agent run` works there" in place.says()
    place.process = first
    rig.finish()
    assert place.ends() == 0


LEAVER = """
import os, signal, sys, time
from pathlib import Path

root, track = Path(os.environ["OUTLAST_CHECKPOINT_DIR"]), Path(os.environ["TRACK"])
begin = os.environ.get("OUTLAST_RESUME_FROM")
step = int(Path(begin).read_text()) if begin else 0
with track.open("a") as file:
    file.write(f"{os.environ['OUTLAST_GENERATION']} pid {os.getpid()}\\n")
    file.write(f"{os.environ['OUTLAST_GENERATION']} began {step}\\n")
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
while step < 60:
    time.sleep(0.05)
    step += 1
    if asked:
        (root / f"step_{step}.bin").write_text(str(step))
        sys.exit(0)
"""


def test_a_trainer_that_saves_and_leaves_when_it_is_asked_goes_on_in_the_same_place(tmp_path: Path) -> None:
    rig = Rig(tmp_path, trainer=LEAVER)
    try:
        place = rig.place("one")
        assert place.run("--every", "1s") == 0
        began = rig.told("began")
        assert len(began) > 1
        assert began == sorted(set(began))
    finally:
        rig.close()


SICK = """
import json, os, struct, time
from pathlib import Path
from outlast.checkpoint_files import write

root, track = Path(os.environ["OUTLAST_CHECKPOINT_DIR"]), Path(os.environ["TRACK"])
start = os.environ.get("OUTLAST_RESUME_FROM")
value = struct.unpack("<f", (Path(start) / "m.safetensors").read_bytes()[-4:])[0] if start else 0.0
with track.open("a") as file:
    file.write(f"{os.environ['OUTLAST_GENERATION']} began {int(value)}\\n")
head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
for step in range(int(value) + 1, 2000):
    body = struct.pack("<Q", len(head)) + head + struct.pack("<f", step if step < 3 else float("nan"))
    write(root, step, lambda folder: (folder / "m.safetensors").write_bytes(body))
    time.sleep(0.5)
"""


def test_saves_that_are_refused_are_tried_once_more_and_then_a_person_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path, trainer=SICK)
    try:
        place = rig.place("one")
        assert place.run() == EXIT_NEEDS_A_PERSON
        assert rig.told("began") == [0, 2]
        assert rig.head() == 2
        told = place.says().splitlines()
        assert any("save.quarantined" in line and "m.safetensors:w" in line for line in told)
        assert "Once more, from step 2" in place.says()
        assert "--health" in told[-1]
    finally:
        rig.close()


@pytest.mark.slow
def test_without_its_storage_for_the_whole_lease_the_trainer_is_stopped(rig: Rig) -> None:
    place = rig.place("one")
    place.start()
    rig.until("it has saved", lambda: rig.head() >= 10)
    (rig.folder / "bucket").rename(rig.folder / "away")
    assert place.ends() == EXIT_TAKEN_OVER
    assert "for the whole lease" in place.says()
    assert all(gone(pid) for pid in rig.told("pid"))
    (rig.folder / "away").rename(rig.folder / "bucket")


@pytest.mark.slow
def test_on_a_real_s3_server(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": ADMIN["access_key_id"], "AWS_SECRET_ACCESS_KEY": ADMIN["secret_access_key"]}
    (tmp_path / "s3").mkdir()
    (tmp_path / "rig").mkdir()
    with seaweedfs(tmp_path / "s3") as server:
        rig = Rig(tmp_path / "rig", server.url(prefix="team"), keys)
        bucket = rig.bucket(ADMIN)
        try:
            first, second = rig.place("one"), rig.place("two")
            first.start()
            rig.until("it has saved", lambda: any("manifests/" in info.key for info in bucket.list("")))
            second.start()
            rig.until("it waits", lambda: "has the job" in second.says())
            first.signal(signal.SIGKILL)
            first.ends()
            rig.until("the other takes over", lambda: len(rig.told("began")) == 2)
            assert rig.told("began")[1] >= 10
            rig.finish()
            assert second.ends() == 0
        finally:
            rig.close()
