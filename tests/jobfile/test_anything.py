"""Whatever is in the file: a job, or one line for a person. Never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.load import load_job_file, to_job
from outlast_orchestrator.jobfile.schema import KEYS, NOT_YET

_SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)

_scalars = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(), some.text(max_size=20), some.dates()
)
_values = some.recursive(
    _scalars,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner),
    max_leaves=5,
)
_keys = some.sampled_from([key.rpartition(".")[2] for key in (*KEYS, *NOT_YET)])
_sections = some.dictionaries(_keys, _values | some.dictionaries(_keys, _values, max_size=3), max_size=5)


def _load(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.yaml"
        file.write_bytes(body)
        try:
            job = load_job_file(file, {"A": "b"})
        except UserError as error:
            told = str(error)
            assert told.startswith(str(file))
            assert told.isprintable()
            assert len(told) < 1000
        else:
            to_job(job.spec, id="i", name=job.name, owner="o", created_at=0.0, storage="s")
            job.spec.model_dump_json().encode()


@_SETTINGS
@given(some.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    _load(body)


@_SETTINGS
@given(some.text(alphabet="run: a-[]{}&*!|>'\"#\n\t,0?%@`~\\x", max_size=60))
def test_any_text_that_looks_like_yaml(text: str) -> None:
    _load(text.encode())


@_SETTINGS
@given(_sections)
def test_any_values_under_any_keys(values: dict[str, Any]) -> None:
    _load(yaml.safe_dump({"run": "true", **values}).encode())


ODD = [
    'workdir: "a\\0b"',
    f"workdir: {'x' * 5000}",
    "workdir: ~nobody-at-all/x",
    "workdir: x/../~",
    'name: "a\\nb"',
    'setup: "a\\ud800"',
    '"a\\nb\\e[31m": 1',
    f"{'k' * 5000}: 1",
]


def test_names_that_no_file_system_takes() -> None:
    for text in ODD:
        _load(f"run: x\n{text}".encode())
    _load(f"run: python {'x' * 300}.py".encode())
