"""configs/job.yaml is the documentation and is held against the schema both ways; the examples load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.load import load_job_file
from outlast_orchestrator.jobfile.pack import pack_workdir
from outlast_orchestrator.jobfile.schema import KEYS, NOT_YET

CONFIGS = Path(__file__).parents[2] / "configs"
GOLDEN = Path(__file__).parents[1] / "golden" / "job_keys.txt"
_LATER = re.compile(r"^(\s*)#- ?", re.MULTILINE)

DOCUMENT = (CONFIGS / "job.yaml").read_text("utf-8")


def _keys(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict) and name not in ("env", "labels", "data"):
            yield from _keys(value, f"{prefix}{name}.")


def test_the_document_loads_and_every_key_of_the_schema_is_in_it() -> None:
    load_job_file(CONFIGS / "job.yaml")
    assert set(_keys(yaml.safe_load(DOCUMENT))) == set(KEYS)


def test_the_keys_of_later_versions_are_in_it_too_and_each_is_refused(tmp_path: Path) -> None:
    everything = yaml.safe_load(_LATER.sub(r"\1", DOCUMENT))
    assert set(_keys(everything)) == {*KEYS, *NOT_YET}
    lines = DOCUMENT.splitlines()
    later = [number for number, line in enumerate(lines) if _LATER.match(line)]
    assert len(later) == len(NOT_YET)
    for number in later:
        mended = [*lines[:number], _LATER.sub(r"\1", lines[number]), *lines[number + 1 :]]
        (tmp_path / "job.yaml").write_text("\n".join(mended))
        with pytest.raises(UserError, match=rf"job\.yaml:{number + 1}: \S+: not yet: ") as raised:
            load_job_file(tmp_path / "job.yaml")
        assert any(f": {key}: " in str(raised.value) for key in NOT_YET)


def test_every_key_has_a_comment_of_its_own() -> None:
    names = {key.rpartition(".")[2] for key in (*KEYS, *NOT_YET)}
    lines = DOCUMENT.splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"\s*(?:#- )?([a-z_]+):", line)
        if key and key[1] in names:
            assert lines[number - 1].strip().startswith("#"), f"line {number + 1} has no comment: {line}"


def test_the_keys_are_frozen() -> None:
    """A key is a promise to everybody who has a job file: adding one is a decision, removing one a break."""
    assert sorted(KEYS) == GOLDEN.read_text().split()


@pytest.mark.parametrize("file", sorted((CONFIGS / "examples").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_examples_load_and_pack(file: Path) -> None:
    job = load_job_file(file)
    packed = pack_workdir(job)
    assert (packed is None) == (job.spec.workdir == "none")


def test_the_three_examples_are_there() -> None:
    names = {file.stem for file in (CONFIGS / "examples").glob("*.yaml")}
    assert names >= {"minimal", "hf_trainer", "own_loop"}
