"""The health gate: new NaN is quarantined, old ones and what can't be examined are told."""

from __future__ import annotations

import pickle
import random
import struct
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.agent.save.copies import stable

from outlast.save.gate import Gate, Verdict
from outlast.save.gate_numbers import FORMATS, look, not_finite
from outlast.save.structure import trouble_of

GATE = Gate(sys.executable)
CLEAN = "3 tensors, every value"
NAN = float("nan")


def tensors(**extra: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"w": torch.randn(1000), "mask": torch.full((4,), float("-inf")), **extra}


@pytest.mark.parametrize("file", ["model.safetensors", "model.pt"])
def test_infinities_of_the_first_save_warn_and_a_new_nan_is_quarantined(tmp_path: Path, file: str) -> None:
    cheap = file.endswith("safetensors")  # every look at another format starts an interpreter with torch

    def save(state: dict[str, torch.Tensor]) -> None:
        (save_file if cheap else torch.save)(state, tmp_path / file)

    save(tensors())
    first = GATE.check(stable(tmp_path), before=None)
    assert (first.verdict, "mask" in first.text) == (Verdict.WARN, True)
    assert not cheap or GATE.check(stable(tmp_path), before=first.text).verdict == Verdict.WARN
    bad = torch.zeros(500)
    bad[321] = NAN
    save(tensors(**{"layer.3.bias": bad}))
    second = GATE.check(stable(tmp_path), before=first.text)
    assert second.verdict == Verdict.QUARANTINE
    assert "layer.#.bias" in second.text
    if cheap:
        assert Gate(sys.executable, "warn").check(stable(tmp_path), first.text).verdict == Verdict.WARN
        assert Gate(sys.executable, "off").check(stable(tmp_path), first.text).verdict == Verdict.OK
    save({"w": torch.randn(3)})
    assert GATE.check(stable(tmp_path), before=first.text).verdict == Verdict.OK


def test_what_to_do_is_said_by_patterns_of_names(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "m.safetensors")
    before = GATE.check(stable(tmp_path), before=None).text
    bad = torch.full((3,), NAN)
    save_file(tensors(**{"bn.3.running_var": bad}), tmp_path / "m.safetensors")

    def verdict(**health: str) -> Verdict:
        return GATE.check(stable(tmp_path), before, health).verdict

    assert verdict() == Verdict.QUARANTINE
    assert verdict(**{"*": "warn"}) == Verdict.WARN
    assert verdict(**{"*": "off"}) == Verdict.OK
    assert verdict(**{"*.running_var": "warn"}) == Verdict.WARN
    assert verdict(**{"*": "warn", "*.running_var": "quarantine"}) == Verdict.QUARANTINE
    assert verdict(**{"*.running_var": "off"}) == Verdict.WARN  # what is left is the mask of the first save
    assert verdict(**{"m.safetensors:*": "warn"}) == Verdict.WARN


def test_a_torn_file_is_quarantined_whatever_came_before(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(3)}, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-1])
    result = GATE.check(stable(tmp_path), before=None)
    assert result.verdict == Verdict.QUARANTINE
    assert "a.safetensors" in result.text


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("open('sprung', 'w')",))


def test_a_pickle_is_never_run_and_is_reported_as_unexamined(tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Trap()))
    torch.save({"w": torch.zeros(3)}, tmp_path / "good.pt")
    result = GATE.check(stable(tmp_path), before=CLEAN)
    assert result.verdict == Verdict.OK
    assert "unexamined: evil.pt" in result.text
    assert "1 tensors" in result.text
    assert not (tmp_path / "sprung").exists()
    assert not Path("/sprung").exists()


@pytest.mark.parametrize("python", [None, "/nowhere/python", "/bin/false"])
def test_without_an_interpreter_with_torch_it_says_unexamined(tmp_path: Path, python: str | None) -> None:
    torch.save({"w": torch.tensor(NAN)}, tmp_path / "m.pt")
    result = Gate(python).check(stable(tmp_path), before=CLEAN)
    assert result.verdict == Verdict.OK
    assert "unexamined: m.pt" in result.text


def test_above_the_limit_it_looks_at_samples_and_says_so(tmp_path: Path) -> None:
    save_file({"w": torch.full((400_000,), NAN)}, tmp_path / "m.safetensors")
    result = Gate(None, limit_bytes=100_000).check(stable(tmp_path), before=CLEAN)
    assert result.verdict == Verdict.QUARANTINE
    assert "samples" in result.text


@pytest.mark.parametrize("dtype", sorted(FORMATS))
def test_every_format_tells_exactly_the_values_that_torch_calls_not_finite(dtype: str) -> None:
    kinds = {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
        "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn,
    }  # fmt: skip
    width, dice = FORMATS[dtype][0], random.Random(dtype)
    if width <= 2:
        patterns = [value.to_bytes(width, "little") for value in range(1 << 8 * width)]
    else:
        patterns = [dice.randbytes(width - 2) + struct.pack("<H", high) for high in range(0, 1 << 16, 7)]
        patterns += [bytes(width - 2) + struct.pack("<H", high) for high in range(0x7F00, 0x8000)]
    values = torch.frombuffer(bytearray(b"".join(patterns)), dtype=kinds[dtype]).to(torch.float64)
    wrong = [
        pattern.hex()
        for pattern, finite in zip(patterns, torch.isfinite(values).tolist(), strict=True)
        if not_finite(dtype, pattern) == finite
    ]
    assert not wrong
    assert not not_finite("I32", b"\xff\xff\xff\xff")


def test_the_look_at_numbers_finds_the_last_value_of_the_last_tensor(tmp_path: Path) -> None:
    last = torch.zeros(3_000_000)
    last[-1] = NAN
    save_file({"a": torch.zeros(7), "z": last}, tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    numbers = look(len(data), partial(piece, data), 1 << 30)
    assert numbers.not_finite == ("z",)


def piece(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 20, 100])
def test_garbage_is_told_and_never_an_exception(cut: int) -> None:
    body = random.Random(cut).randbytes(cut)
    for name in ("a.safetensors", "a.pt", "a.index.json"):
        for data in (body, b"PK\x03\x04" + body, b"\0" * cut):
            why = trouble_of(name, len(data), partial(piece, data))
            assert isinstance(why, str)
