"""`outlast checkpoints` as a person types it, against a real API over a real bucket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Outlast
from tests.e2e.stage import one_line
from tests.fakes.api import Api

from outlast.bucket.manifest import hash_bytes
from outlast.protocol.objects import ManifestRef, PointerState, pin_key
from outlast_orchestrator.cli.exits import Exit


def test_verify_tells_each_and_exits_by_damage(api: Api, outlast: Outlast) -> None:
    job = api.job()
    refs = api.keep(job, 100, 200)
    well = outlast("checkpoints", "verify", "gpt", api=api)
    assert well.exit_code == Exit.SUCCESS
    assert [line.split()[:3] for line in well.stdout.splitlines()] == [
        ["ok", "step", "200"],
        ["ok", "step", "100"],
    ]
    api.bucket(job.id).put(f"checkpoints/{refs[1].name}/model.bin", b"short")
    damaged = outlast("checkpoints", "verify", "gpt", api=api)
    assert damaged.exit_code == Exit.DAMAGED
    assert damaged.stdout.splitlines()[0].startswith(f"DAMAGED  step 200  {refs[1].name}: file 'model.bin'")
    assert damaged.stdout.splitlines()[-1].startswith(f"a resume would take step 100 ({refs[0].name})")
    # One that was not asked for is looked at for what a resume takes, and does not count.
    one = outlast("checkpoints", "verify", "gpt", "--step", "100", api=api)
    assert (one.exit_code, len(one.stdout.splitlines())) == (Exit.SUCCESS, 1)
    told = outlast("checkpoints", "verify", "gpt", "--json", api=api)
    found = json.loads(told.stdout)
    assert [bool(c["problem"]) for c in found["checkpoints"]] == [True, False]
    assert found["resume"]["step"] == 100


def test_get_puts_it_in_place_whole_or_not_at_all(api: Api, outlast: Outlast, tmp_path: Path) -> None:
    job = api.job()
    api.keep(job, 100, 200, state=PointerState.ENDED)
    got = outlast("checkpoints", "get", "gpt", "here/it", api=api)
    assert got.exit_code == 0, got.stderr
    assert "every byte verified" in got.stdout
    assert (tmp_path / "here/it/model.bin").read_bytes() == b"step 200" * 100
    assert (tmp_path / "here/it/deep/config.json").read_bytes() == b"{}"
    refused = outlast("checkpoints", "get", "gpt", "here/it", api=api)
    assert refused.exit_code == Exit.BAD_INPUT
    one_line(refused.stderr, "holds something", "-f")
    forced = outlast("checkpoints", "get", "gpt", "here/it", "--step", "100", "-f", api=api)
    assert forced.exit_code == 0, forced.stderr
    assert (tmp_path / "here/it/model.bin").read_bytes() == b"step 100" * 100
    assert (tmp_path / "here/it.before-1/model.bin").read_bytes() == b"step 200" * 100
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["it", "it.before-1"]


def test_a_damaged_checkpoint_is_not_put_in_place(api: Api, outlast: Outlast, tmp_path: Path) -> None:
    job = api.job()
    (ref,) = api.keep(job, 100)
    key = f"checkpoints/{ref.name}/model.bin"
    whole = api.bucket(job.id).get(key).body
    api.bucket(job.id).put(key, b"x" * len(whole))
    done = outlast("checkpoints", "get", "gpt", "it", api=api)
    assert done.exit_code == Exit.REFUSED
    one_line(done.stderr, ref.name, "model.bin", "checkpoints verify")
    assert not (tmp_path / "it").exists()
    # What was fetched before is used when it is put right.
    api.bucket(job.id).put(key, whole)
    assert outlast("checkpoints", "get", "gpt", "it", api=api).exit_code == 0
    assert (tmp_path / "it" / "model.bin").read_bytes() == whole


def test_a_file_may_have_any_name_and_nothing_else_comes_along(
    api: Api, outlast: Outlast, tmp_path: Path
) -> None:
    """Files that end like half a download are the checkpoint's own; what an earlier try left is not."""
    more = {"model.bin.part": b"mine", "shards.part/0.bin": b"too"}
    (ref,) = api.keep(api.job(), 100, more=more)
    earlier = tmp_path / f".it.part-{ref.name}"
    earlier.mkdir()
    (earlier / "stray.txt").write_text("of somebody's own")
    (earlier / "model.bin.outlast-part").write_bytes(b"half")
    got = outlast("checkpoints", "get", "gpt", "it", api=api)
    assert got.exit_code == 0, got.stderr
    files = {p.relative_to(tmp_path / "it").as_posix() for p in (tmp_path / "it").rglob("*") if p.is_file()}
    assert files == {"model.bin", "deep/config.json", *more}
    assert (tmp_path / "it/model.bin.part").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", "the folder that you are in"),
        ("..", "the folder that you are in"),
        ("/", "the folder that you are in"),
        ("a" * 300, "too long"),
        ("file/in", "can't be written"),
    ],
)
@pytest.mark.parametrize("force", [(), ("-f",)])
def test_a_place_that_can_not_be_is_said_before_anything_is_done(
    api: Api, outlast: Outlast, tmp_path: Path, folder: str, words: str, force: tuple[str, ...]
) -> None:
    api.keep(api.job(), 100)
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    done = outlast("checkpoints", "get", "gpt", folder, *force, api=api)
    assert done.exit_code == Exit.BAD_INPUT
    one_line(done.stderr, words)
    assert sorted(p for p in tmp_path.iterdir() if p.name != "home") == before


def test_what_somebody_else_has_put_in_the_way_is_not_used(
    api: Api, outlast: Outlast, tmp_path: Path
) -> None:
    (ref,) = api.keep(api.job(), 100)
    (tmp_path / "theirs").mkdir()
    (tmp_path / f".it.part-{ref.name}").symlink_to(tmp_path / "theirs")
    done = outlast("checkpoints", "get", "gpt", "it", api=api)
    assert done.exit_code == Exit.BAD_INPUT
    one_line(done.stderr, "belongs to somebody else")
    assert not any((tmp_path / "theirs").iterdir())


@pytest.mark.parametrize("words", [["get", "gpt", "a"], ["pin", "gpt"], ["unpin", "gpt"], ["verify", "gpt"]])
def test_a_job_without_any_is_one_line(api: Api, outlast: Outlast, words: list[str]) -> None:
    api.job()
    done = outlast("checkpoints", *words, api=api)
    assert done.exit_code == Exit.BAD_INPUT
    one_line(done.stderr, "gpt has no")


def test_pins_are_told_as_what_they_are(api: Api, outlast: Outlast) -> None:
    job = api.job()
    refs = api.keep(job, 100, 200, state=PointerState.RELEASED)
    noted = outlast("checkpoints", "pin", "gpt", "--step", "100", api=api)
    assert noted.exit_code == 0
    assert noted.stdout.startswith("noted: step 100")
    assert "pinned:" not in noted.stdout
    api.point(job, refs, PointerState.RUNNING, pinned=(refs[0].name,))
    pinned = outlast("checkpoints", "pin", "gpt", "--step", "100", api=api)
    assert pinned.stdout.startswith(f"pinned: step 100 ({refs[0].name})")
    assert "pinned" in outlast("checkpoints", "ls", "gpt", api=api).stdout
    api.point(job, refs, PointerState.RELEASED, pinned=(refs[0].name,))
    ends = outlast("checkpoints", "unpin", "gpt", "--json", api=api)
    assert json.loads(ends.stdout)["pin"] == "unpin wished"
    assert not list(api.bucket(job.id).list(pin_key("")))


def test_what_is_held_for_a_restart_is_told_as_that(api: Api, outlast: Outlast) -> None:
    """Nobody would ever answer a wish to unpin it, so nobody is left waiting."""
    job = api.job()
    refs = api.keep(job, 100, 200)
    api.bucket(job.id).put(pin_key(refs[0].name) + "+restart", b"")
    api.point(job, refs, PointerState.RUNNING, pinned=(refs[0].name,))
    refused = outlast("checkpoints", "unpin", "gpt", "--step", "100", api=api)
    assert refused.exit_code == Exit.BAD_INPUT
    one_line(refused.stderr, "held until the restart")
    api.bucket(job.id).put(pin_key(refs[0].name), b"")
    mine = outlast("checkpoints", "unpin", "gpt", api=api)
    assert mine.exit_code == 0
    assert mine.stdout.startswith("unpinned: step 100")
    assert "still held" in mine.stdout


def test_what_a_bucket_says_is_never_obeyed_by_the_terminal(api: Api, outlast: Outlast) -> None:
    job = api.job()
    (ref,) = api.keep(job, 100, more={"a\x9b2Jb": b"gone"})
    bucket = api.bucket(job.id)
    told = {"gate": "\x1b[2Jfine", "kind": "[red]files", "at": "\x1b]0;mine\x07"}
    body = json.dumps(json.loads(bucket.get(ref.key).body) | told).encode()
    bucket.put(ref.key, body)
    api.point(job, (ManifestRef(ref.key, hash_bytes(body), 100),), PointerState.ENDED)
    bucket.delete(f"checkpoints/{ref.name}/a\x9b2Jb")
    listed = outlast("checkpoints", "ls", "gpt", api=api)
    assert "fine" in listed.stdout
    assert "[red]files" in listed.stdout
    verified = outlast("checkpoints", "verify", "gpt", api=api)
    assert verified.stdout.startswith("DAMAGED")
    got = outlast("checkpoints", "get", "gpt", "it", api=api)
    assert got.exit_code == Exit.REFUSED
    for shown in (listed.output, verified.output, got.output):
        assert all(character.isprintable() or character == "\n" for character in shown), shown
