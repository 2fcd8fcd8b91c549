"""The order that the workers get loses no test and runs none twice."""

from __future__ import annotations

import pytest
from tests.conftest import COMPUTING, TESTS, dealt


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
def test_every_test_is_dealt_once_and_one_worker_computes(
    request: pytest.FixtureRequest, workers: int
) -> None:
    items = request.session.items
    order = dealt(items, workers)
    assert len(order) == len(items)
    assert {id(item) for item in order} == {id(item) for item in items}
    folders = [item.path.relative_to(TESTS).parts[0] for item in order]
    computing = sum(folder in COMPUTING for folder in folders)
    assert all(folder in COMPUTING for folder in folders[:computing])
