"""An instance of the local cloud dies whole, in every way that a machine can die, and nothing outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.providers.local_kit import (
    QUICK,
    ended,
    launched,
    local_cloud,
    processes_of,
    run_on,
    wait_until,
)

from outlast_orchestrator.providers.local import processes
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.control import CloudControl, find_cloud, start_cloud, stop_cloud
from outlast_orchestrator.providers.local.faults import Faults
from outlast_orchestrator.providers.local.fleet import Fleet
from outlast_orchestrator.providers.local.records import Order, Record, State
from outlast_orchestrator.providers.local.state import State as Memory
from outlast_orchestrator.remote.deadman import Deadman, user_data

# Thirty processes that do all they can to get away: sessions of their own, double forks, no environment.
FOREST = """
for n in 1 2 3 4 5 6 7 8 9 10; do
    setsid sh -c 'sleep 300 & sleep 300' &
    ( ( env -i sh -c 'cd / && exec setsid sleep 300' & ) & )
    ( trap '' TERM HUP INT; while :; do sleep 0.05; done ) &
done
sleep 0.5
"""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudControl]:
    with local_cloud(tmp_path) as control:
        yield control


def tree_of(control: CloudControl, instance: str) -> list[processes.Process]:
    value = json.loads((control.state_dir / "instances" / instance / "machine.json").read_text())
    mark = Path(f"/proc/{value['pid']}/environ").read_bytes().split(b"OUTLAST_MACHINE=")[1].split(b"\0")[0]
    return processes.members(processes.Root(value["pid"], value["started"], mark.decode()))


def all_dead(tree: list[processes.Process]) -> bool:
    return not any(processes.alive(process.pid, process.started) for process in tree)


def grown(control: CloudControl, instance: str) -> list[processes.Process]:
    run_on(control, instance, FOREST)
    tree: list[processes.Process] = wait_until(
        "the forest has grown", lambda: len(t := tree_of(control, instance)) > 40 and t
    )
    return tree


def test_the_market_kills_every_process(cloud: CloudControl) -> None:
    instance = launched(cloud)
    tree = grown(cloud, instance)
    cloud.interrupt(instance, notice=False)
    last = ended(cloud, instance)
    assert all_dead(tree)
    assert last["end_code"] == "Server.SpotInstanceTermination"


def test_a_termination_gives_grace_and_then_kills(cloud: CloudControl, tmp_path: Path) -> None:
    instance = launched(cloud)
    told = tmp_path / "told"
    run_on(
        cloud,
        instance,
        f"(trap 'touch {told}; exit' TERM; touch {tmp_path}/set; while :; do sleep 0.05; done) & sleep 0.2",
    )
    wait_until("the trap is set", (tmp_path / "set").exists)
    tree = grown(cloud, instance)
    cloud.client.call("terminate", instance=instance)
    last = ended(cloud, instance)
    assert told.exists()
    assert all_dead(tree)
    assert last["end_code"] == "Client.UserInitiatedShutdown"


def test_a_machine_that_switches_itself_off_takes_everything_along(cloud: CloudControl) -> None:
    instance = launched(
        cloud, user_data='#!/bin/sh\nwhile [ ! -e off ]; do sleep 0.05; done\n"$OUTLAST_POWEROFF"\n'
    )
    tree = grown(cloud, instance)
    run_on(cloud, instance, "touch off")
    last = ended(cloud, instance)
    assert all_dead(tree)
    assert last["end_code"] == "Client.InstanceInitiatedShutdown"


def test_the_dead_man_switch_ends_a_machine_without_an_agent(cloud: CloudControl) -> None:
    switch = Deadman(max_life_s=600.0, install_limit_s=0.5, look_every_s=0.1)
    instance = launched(cloud, user_data=user_data(switch))
    tree = tree_of(cloud, instance)
    assert ended(cloud, instance)["end_code"] == "Client.InstanceInitiatedShutdown"
    assert all_dead(tree)
    assert "no agent was installed within 0.5 s" in cloud.console(instance)


def test_the_crash_of_a_supervisor_takes_everything_along(cloud: CloudControl) -> None:
    instance = launched(cloud)
    tree = grown(cloud, instance)
    supervisor = json.loads((cloud.state_dir / "instances" / instance / "machine.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    last = ended(cloud, instance)
    assert all_dead(tree)
    assert last["end_code"] == "Server.HostFailure"


def test_a_frozen_machine_stands_still_until_it_is_thawed_and_can_die_frozen(cloud: CloudControl) -> None:
    instance = launched(cloud)
    tree = grown(cloud, instance)
    cloud.freeze(instance)
    now = [processes.read(one.pid) for one in tree]
    assert {process.state for process in now if process is not None and not process.dead} == {"T"}
    cloud.thaw(instance)
    wait_until("it moves again", lambda: run_on(cloud, instance, "echo here")["stdout"] == "here\n")
    cloud.freeze(instance)
    cloud.crash(instance)
    ended(cloud, instance)
    assert all_dead(tree)


def test_the_disk_dies_with_the_machine(cloud: CloudControl) -> None:
    instance = launched(cloud)
    run_on(cloud, instance, "echo precious > file")
    disk = cloud.state_dir / "instances" / instance / "disk"
    assert (disk / "file").exists()
    cloud.interrupt(instance, notice=False)
    ended(cloud, instance)
    assert not disk.exists()


def test_nothing_of_the_caller_gets_into_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-leak")
    with local_cloud(tmp_path) as control:
        instance = launched(control)
        environment = run_on(control, instance, "env")["stdout"]
        assert "do-not-leak" not in environment
        cloud_environment = Path(f"/proc/{control.pid()}/environ").read_bytes()
        assert b"do-not-leak" not in cloud_environment
        for name in ("HOME", "OUTLAST_INSTANCE", "OUTLAST_POWEROFF", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            assert f"{name}=" in environment


def test_a_cloud_that_was_killed_finds_its_machines_again(tmp_path: Path) -> None:
    with local_cloud(tmp_path) as control:
        instance = launched(control)
        before = control.instance(instance)
        run_on(control, instance, "echo kept > file; (setsid sleep 300 &)")
        tree = tree_of(control, instance)
        pid = control.pid()
        os.kill(pid, signal.SIGKILL)
        wait_until("the cloud is gone", lambda: find_cloud(control.state_dir) is None)
        assert not all_dead(tree)
        again = start_cloud(control.state_dir)
        assert again.pid() != pid
        assert again.instance(instance) == before  # the ports too
        assert run_on(again, instance, "cat file")["stdout"] == "kept\n"
        url = f"http://127.0.0.1:{before['metadata_port']}/latest/api/token"
        request = urllib.request.Request(
            url, method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        again.interrupt(instance, notice=False)
        ended(again, instance)
        assert all_dead(tree)


def test_what_died_while_the_cloud_was_away_is_noticed(tmp_path: Path) -> None:
    with local_cloud(tmp_path) as control:
        instance = launched(control)
        tree = tree_of(control, instance)
        os.kill(control.pid(), signal.SIGKILL)
        wait_until("the cloud is gone", lambda: find_cloud(control.state_dir) is None)
        os.kill(tree[0].pid, signal.SIGKILL)
        again = start_cloud(control.state_dir)
        assert ended(again, instance)["end_code"] == "Server.HostFailure"


def test_stop_leaves_nothing_even_after_the_cloud_was_killed(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "cloud"
    control = start_cloud(folder, QUICK)
    grown(control, launched(control))
    os.kill(control.pid(), signal.SIGKILL)
    wait_until("the cloud is gone", lambda: find_cloud(folder) is None)
    assert processes_of(folder)
    stop_cloud(folder)
    assert processes_of(folder) == {}
    assert find_cloud(folder) is None


def test_the_cloud_can_be_stopped_without_its_machines(tmp_path: Path) -> None:
    with local_cloud(tmp_path) as control:
        instance = launched(control)
        stop_cloud(control.state_dir, instances=False)
        assert find_cloud(control.state_dir) is None
        again = start_cloud(control.state_dir)
        assert again.instance(instance)["state"] == "running"


def test_two_starts_at_once_are_one_cloud(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "cloud"
    pids: list[int] = []
    starters = [threading.Thread(target=lambda: pids.append(start_cloud(folder).pid())) for _ in range(3)]
    try:
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join(30)
        assert len(pids) == 3
        assert len(set(pids)) == 1
    finally:
        stop_cloud(folder)
    assert processes_of(folder) == {}


def api_end(listener: socket.socket) -> socket.socket:
    listener.settimeout(10)
    end, _ = listener.accept()
    end.settimeout(10)
    return end


TALK = """
import socket, sys, time
end = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
end.sendall(b"here")
time.sleep(300)
"""


@pytest.mark.parametrize("silent", [False, True])
def test_a_death_closes_its_connections_at_once_or_silently_never(cloud: CloudControl, silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cloud.set_api(f"http://127.0.0.1:{listener.getsockname()[1]}")
        instance = launched(cloud)
        port = cloud.instance(instance)["relay_port"]
        run_on(cloud, instance, f"(exec setsid python -c '{TALK}' {port} &)")
        with api_end(listener) as end:
            assert end.recv(100) == b"here"
            cloud.crash(instance, silent=silent)
            ended(cloud, instance)
            if silent:
                end.settimeout(1.0)
                with pytest.raises(TimeoutError):
                    end.recv(100)
                end.settimeout(10)
                cloud.cut(instance)
            try:
                assert end.recv(100) == b""
            except ConnectionResetError:
                return  # a reset is an end that was told, too


def test_an_end_has_one_time_whoever_else_was_about_to_carry_it_out(tmp_path: Path) -> None:
    """A thread that saw it stopping comes to it when another one has ended it: nothing changes any more."""
    memory = Memory(tmp_path)
    order = Order("l1-1", "l1", "own", "j1", "here", "here-a", "cpu-1", "spot", 1, 60.0)
    over = Record("i-1", order, 0.1, "mark", 1.0, 0, 0, State.ENDED, started_at=2.0, ended_at=3.0)
    memory.save_record(over)
    fleet = Fleet(tmp_path, memory, Faults(memory, lambda: 9.0), CloudConfig)
    fleet._finish(fleet.get("i-1"))
    assert fleet.get("i-1") == over
    fleet.close()
    memory.close()
