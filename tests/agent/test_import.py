"""`import outlast` is cheap: the agent and a user's script must not pay for what they do not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import outlast

HEAVY = "{'torch', 'numpy', 'obstore', 'safetensors', 'transformers'}"


@pytest.mark.parametrize(
    "code",
    [
        "import outlast",
        "import outlast; outlast.should_save(); outlast.log(step=1, a=2.0); outlast.done()",
        "import outlast.save.watch, outlast.save.tidy, outlast.save.stable_copy, outlast.save.gate",
        "import outlast.save.upload, outlast.save.progress, outlast.trainer_contract",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    check = f"{code}; import sys; sys.exit(str(sorted({HEAVY} & set(sys.modules)) or ''))"
    done = subprocess.run(
        [sys.executable, "-c", check], check=False, timeout=60, capture_output=True, text=True
    )
    assert done.stderr.strip() == "", done.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = outlast.nothing
    assert "Checkpointer" in dir(outlast)
