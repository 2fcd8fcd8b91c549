"""Launches of Azure whose outcome is uncertain, over a socket: none is lost, none ended for a word alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.providers.azure_kit import A100, launched, only, request
from tests.providers.local_kit import record_of
from tests.servers.arm import Arm, arm
from tests.servers.http_service import Asked

from outlast_orchestrator.core.errors import Capacity, Invalid, Quota, Transient
from outlast_orchestrator.core.view import CloudState
from outlast_orchestrator.providers.azure.provider import AzureProvider
from outlast_orchestrator.providers.marks import marks_of, name_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Arm]:
    with arm(tmp_path) as found:
        yield found


@pytest.fixture
def provider(server: Arm) -> AzureProvider:
    return server.provider()


@pytest.mark.parametrize("nothing_left", [False, True])
def test_an_operation_is_waited_for_and_its_failure_leaves_nothing(
    server: Arm, provider: AzureProvider, nothing_left: bool
) -> None:
    server.trouble.slow_operations = 2
    server.trouble.nothing_left = nothing_left
    server.trouble.fail = ("ZonalAllocationFailed", "We do not have sufficient capacity")
    with pytest.raises(Capacity, match="sufficient capacity"):
        launched(server, provider)
    assert sum(path.startswith("/operations") for _, path in server.calls) == 3
    assert not server.group.machines
    assert not server.group.others


def test_a_failed_machine_that_can_not_be_deleted_is_there_for_the_sweep(
    server: Arm, provider: AzureProvider
) -> None:
    def no_deletes(asked: Asked) -> tuple[int, str, str] | None:
        return (409, "AnotherOperationInProgress", "later") if asked.method == "DELETE" else None

    server.trouble.fail = ("OSProvisioningTimedOut", "it did not come up in time")
    server.trouble.refuse = no_deletes
    wanted = request(server, provider.offers(A100)[0])
    with pytest.raises(Capacity, match="OSProvisioningTimedOut"):
        provider.launch(wanted)
    seen = only(provider)
    assert (seen.launch_id, seen.state) == ("launch-1", CloudState.PENDING)
    server.trouble.refuse = lambda _: None
    provider.terminate(record_of(wanted, seen.id))
    assert not server.group.others


def test_a_failure_that_nobody_heard_of_is_found_by_the_repeat(server: Arm, provider: AzureProvider) -> None:
    server.trouble.fail = ("LowPriorityQuota", "exceeding approved LowPriorityCores quota")
    server.trouble.lose_replies = 1
    wanted = request(server, provider.offers(A100)[0])
    with pytest.raises(Transient):
        provider.launch(wanted)
    with pytest.raises(Quota, match="lowPriorityCores"):
        server.provider().launch(wanted)  # another controller, after a restart
    assert not server.group.machines


@pytest.mark.parametrize("garbled", [False, True])
def test_an_operation_that_can_not_be_asked_about_ends_no_machine(
    server: Arm, provider: AzureProvider, garbled: bool
) -> None:
    def no_operations(asked: Asked) -> tuple[int, str, str] | None:
        return (500, "InternalServerError", "later") if asked.path.startswith("/operations") else None

    server.trouble.garbled_operations = garbled
    server.trouble.refuse = (lambda _: None) if garbled else no_operations
    wanted = request(server, provider.offers(A100)[0])
    with pytest.raises(Transient):
        provider.launch(wanted)
    assert only(provider).state is CloudState.RUNNING
    server.provider().launch(wanted)
    assert len(server.group.machines) == 1
    assert "DELETE" not in {method for method, _ in server.calls}


def test_an_answer_that_breaks_off_is_no_refusal(server: Arm, provider: AzureProvider) -> None:
    server.trouble.garbled_launches = True
    wanted = request(server, provider.offers(A100)[0])
    with pytest.raises(Transient):
        provider.launch(wanted)
    provider.launch(wanted)
    assert list(server.group.machines) == [name_of(wanted)]


def test_an_operation_that_failed_for_a_machine_that_did_not_ends_none(
    server: Arm, provider: AzureProvider
) -> None:
    def mended(_: Asked) -> None:
        for one in server.group.machines.values():
            one["properties"]["provisioningState"] = "Succeeded"

    server.trouble.fail = ("OSProvisioningTimedOut", "it is late")
    server.trouble.refuse = mended
    wanted = request(server, provider.offers(A100)[0])
    with pytest.raises(Transient, match="it is late"):
        provider.launch(wanted)
    assert name_of(wanted) in server.group.machines
    provider.launch(wanted)
    assert only(provider).state is CloudState.RUNNING


def test_a_token_with_other_parameters_changes_nothing(server: Arm, provider: AzureProvider) -> None:
    wanted, name = launched(server, provider)
    with pytest.raises(Invalid, match="other parameters"):
        provider.launch(replace(wanted, disk_gb=121))
    assert server.group.machines[name]["tags"] == marks_of(wanted), "created, and never changed"


@pytest.mark.parametrize("status", [409, 429, 403])
def test_a_repeat_that_is_refused_finds_what_the_first_one_made(
    server: Arm, provider: AzureProvider, status: int
) -> None:
    """The quota that it finds used up may be used by that very machine."""
    wanted, name = launched(server, provider)
    words = "exceeding approved LowPriorityCores quota"
    refusal = (status, "OperationNotAllowed", words)
    server.trouble.refuse = lambda asked: refusal if asked.method == "PUT" else None
    provider.launch(wanted)
    assert list(server.group.machines) == [name]


def test_a_refused_call_may_leave_a_machine_that_failed(server: Arm, provider: AzureProvider) -> None:
    def refuse(asked: Asked) -> tuple[int, str, str] | None:
        if asked.method != "PUT":
            return None
        name = asked.path.rpartition("/")[2]
        server.group.make(name, json.loads(asked.body), ("AllocationFailed", "none left"))
        return 409, "AllocationFailed", "none left"

    server.trouble.refuse = refuse
    with pytest.raises(Capacity, match="none left"):
        launched(server, provider)
    assert not server.group.machines
    assert not server.group.others


def test_a_machine_that_is_being_deleted_is_no_success(server: Arm, provider: AzureProvider) -> None:
    wanted, name = launched(server, provider)
    server.group.machines[name]["properties"]["provisioningState"] = "Deleting"
    with pytest.raises(Capacity, match="being deleted"):
        provider.launch(wanted)
    assert only(provider).state is CloudState.STOPPING
