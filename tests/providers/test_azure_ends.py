"""How a machine of Azure ends, and what is left of it: neither a lagging list nor an old entry is a proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.providers.azure_kit import HERE, THERE, launched, listed, only
from tests.providers.local_kit import record_of
from tests.servers.arm import GROUP, SUBSCRIPTION, Arm, arm
from tests.servers.arm_machines import ADDRESSES, DISKS, INTERFACES, MACHINES
from tests.servers.http_service import Asked

from outlast_orchestrator.core.view import CloudState, EndProof
from outlast_orchestrator.providers.azure.listing import NO_JOB, end_of, time_of
from outlast_orchestrator.providers.azure.provider import AzureProvider
from outlast_orchestrator.providers.azure.surroundings import EVERY_S, LEFT_AFTER_S


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Arm]:
    with arm(tmp_path) as found:
        yield found


@pytest.fixture
def provider(server: Arm) -> AzureProvider:
    return server.provider()


NO = (403, "AuthorizationFailed", "no")


def refusing(part: str, refusal: tuple[int, str, str] = NO) -> Callable[[Asked], tuple[int, str, str] | None]:
    return lambda asked: refusal if part in asked.path else None


def asked_by_name(server: Arm, name: str) -> int:
    return server.calls.count(("GET", f"/{MACHINES}/{name}"))


def test_one_look_is_for_all_regions_and_the_next_is_a_new_one(server: Arm, provider: AzureProvider) -> None:
    first, second = provider.instances(HERE), provider.instances(THERE)
    assert server.calls.count(("GET", f"/{MACHINES}")) == 1
    assert first.begun_s == second.begun_s
    assert provider.instances(HERE).begun_s > first.begun_s, "the same look is no second witness"


def test_a_list_that_lags_is_no_absence(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    assert only(provider).id == name
    server.group.unlisted.add(name)
    for _ in range(4):
        assert only(provider).state is CloudState.RUNNING


def test_that_it_can_not_be_asked_for_is_no_absence_either(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    only(provider)
    server.group.unlisted.add(name)
    server.trouble.refuse = refusing(f"/{name}")
    assert "AuthorizationFailed" in provider.instances(HERE).problem
    server.trouble.refuse = refusing(f"/{name}", (404, "ResourceGroupNotFound", "no such group"))
    assert "ResourceGroupNotFound" in provider.instances(HERE).problem


def test_whoever_changes_the_tags_hides_no_machine(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    server.group.machines[name]["tags"] = {}
    assert (only(provider).launch_id, only(provider).owner) == ("launch-1", server.owner)


def test_an_end_that_the_log_does_not_know_yet_is_an_absence(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    only(provider)
    server.trouble.silent_log = True
    server.evict(name)
    before = asked_by_name(server, name)
    for _ in range(5):
        assert listed(provider) == []
    assert asked_by_name(server, name) == before + 1, "once for each that ends"
    server.trouble.silent_log = False
    server.pass_time(10.0)
    seen = only(provider)
    assert (seen.id, seen.launch_id, seen.state) == (name, "launch-1", CloudState.ENDED)
    assert seen.end is EndProof.INTERRUPTED


def test_a_controller_that_was_away_learns_of_an_end(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    server.evict(name)
    again, before = server.provider(), asked_by_name(server, name)
    for _ in range(3):
        assert only(again).end is EndProof.INTERRUPTED
    assert asked_by_name(server, name) == before + 1


def test_who_deleted_it_is_told(server: Arm, provider: AzureProvider) -> None:
    wanted, name = launched(server, provider)
    provider.terminate(record_of(wanted, name))
    gone = only(server.provider())
    assert gone.end is EndProof.OURS_OR_PERSON
    assert "somebody@example.com" in gone.end_text
    assert gone.ended_at is not None


def test_a_deletion_by_azure_itself_is_nobodys_wish(server: Arm, provider: AzureProvider) -> None:
    """Else a job would be stopped for a person who never was there."""
    _, name = launched(server, provider)
    server.evict(name)
    server.log = [one for one in server.log if "delete" in one["operationName"]["value"]]
    assert only(server.provider()).end is EndProof.UNKNOWN


def test_an_eviction_is_seen_while_the_machine_goes(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    assert not only(provider).interrupting
    server.begin_eviction(name)
    server.pass_time(60.0)
    seen = only(provider)
    assert (seen.state, seen.interrupting) == (CloudState.STOPPING, True)


def test_the_end_of_an_earlier_machine_of_that_name_is_none_of_this_one(
    server: Arm, provider: AzureProvider
) -> None:
    """Its token was sent again after it had been evicted, and the list is slow."""
    wanted, name = launched(server, provider)
    only(provider)
    server.evict(name)
    assert only(provider).state is CloudState.ENDED
    server.group.unlisted.add(name)
    provider.launch(wanted)
    seen = only(provider)
    assert (seen.state, seen.interrupting) == (CloudState.RUNNING, False)


def test_a_log_that_may_not_be_read_hides_no_machine(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    server.trouble.refuse = refusing("Microsoft.Insights")
    assert only(provider).id == name
    (problem,) = provider.check()
    assert "activity log" in problem
    server.evict(name)
    assert listed(provider) == []


def test_addresses_that_may_not_be_read_hide_no_machine(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    server.trouble.refuse = refusing(INTERFACES)
    assert (only(provider).id, only(provider).address) == (name, "")


def test_what_a_machine_leaves_behind_is_listed_until_it_is_deleted(
    server: Arm, provider: AzureProvider
) -> None:
    wanted, name = launched(server, provider)
    server.group.kept = {INTERFACES, ADDRESSES, DISKS}
    server.evict(name)
    server.forget_ended()
    assert listed(provider) == []
    server.pass_time(LEFT_AFTER_S)
    seen = only(provider)
    assert (seen.id, seen.launch_id, seen.owner) == (name, "launch-1", server.owner)
    assert seen.state is CloudState.PENDING, "the sweep passes over what is ending by itself"
    assert seen.instance_type == "left over: disk, network interface"
    again = server.provider()  # of a controller that was restarted: it looks for itself
    assert listed(again) == []
    server.pass_time(LEFT_AFTER_S)
    assert only(again).id == name
    again.terminate(record_of(wanted, name))
    assert only(again).instance_type == "left over: public address", "its interface had held it"
    again.terminate(record_of(wanted, name))
    assert listed(again) == []
    assert not server.group.others


def test_a_disk_without_tags_is_found_by_its_name(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    server.group.kept = {DISKS}
    server.evict(name)
    server.forget_ended()
    assert listed(provider) == []
    server.pass_time(LEFT_AFTER_S)
    seen = only(provider)
    assert (seen.id, seen.launch_id, seen.job) == (name, "launch-1", NO_JOB)


def test_what_is_made_before_its_machine_is_not_left_over(server: Arm, provider: AzureProvider) -> None:
    _, name = launched(server, provider)
    machine = server.group.machines.pop(name)
    for one in server.group.others.values():
        one.pop("managedBy", None)
        one["properties"].pop("virtualMachine", None)
    assert listed(provider) == []
    server.pass_time(EVERY_S)
    server.group.machines[name] = machine
    server.pass_time(EVERY_S)
    assert only(provider).state is CloudState.RUNNING


def test_other_peoples_things_are_not_ours(server: Arm, provider: AzureProvider) -> None:
    launched(server, provider)
    name = "outlast-another-owner-launch-9-1"
    server.group.machines[name] = {"name": name, "location": HERE, "properties": {}}
    server.group.others[DISKS, f"{name}-os"] = {"name": f"{name}-os", "location": HERE, "properties": {}}
    server.pass_time(LEFT_AFTER_S)
    assert only(provider).launch_id == "launch-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"value": "Failed"}},
        {"eventTimestamp": "soon"},
        {"resourceId": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"},
        {"operationName": {"value": "Microsoft.Compute/virtualMachines/write"}},
        {"operationName": None},
    ],
)
def test_what_ends_no_machine_is_no_end(changes: dict[str, object]) -> None:
    entry = {
        "operationName": {"value": "Microsoft.Compute/virtualMachines/delete"},
        "status": {"value": "Succeeded"},
        "resourceId": f"/X/providers/{MACHINES}/outlast-x",
        "eventTimestamp": "2026-11-30T10:00:00.1234567Z",
    }
    assert end_of(entry) is not None
    assert end_of({**entry, **changes}) is None


def test_times_with_seven_digits_are_read() -> None:
    assert time_of("2026-11-30T10:00:00.1234567Z") == pytest.approx(1_796_032_800.123456, abs=1e-5)
    assert time_of("2026-11-30T10:00:00Z") == 1_796_032_800.0
    assert time_of(None) is None
