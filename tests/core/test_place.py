"""What a refusal blocks: a path and all below it, and with wildcards what types and zones share."""

from __future__ import annotations

import pytest

from outlast_orchestrator.core.place import covers

POOL = "cloud/here/here-a/p5.48xlarge/spot"


@pytest.mark.parametrize(
    "scope",
    [
        POOL,
        "cloud",
        "cloud/here",
        "cloud/here/here-a",
        "cloud/here/*/p5*/spot",
        "cloud/*/*/*/spot",
        "cloud/here/*/p[2-5]*",
        "*",
    ],
)
def test_covered(scope: str) -> None:
    assert covers(scope, POOL)


@pytest.mark.parametrize(
    "scope",
    [
        "call/cloud/launch",
        "cloud/her",
        "cloud/here/here-a/p5.48xlarge/on-demand",
        f"{POOL}/more",
        f"{POOL}/*",
        "cloud/here/*/p4*/spot",
        "cloud/*/*/*/on-demand",
        "cloud/there/*/p5*/spot",
        "cloud/*/spot",
    ],
)
def test_not_covered(scope: str) -> None:
    assert not covers(scope, POOL)
