"""The agent is put on a machine with a real systemd and sshd, by its boot script and over SSH alone."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.rows import instance
from tests.remote.kit import (
    CONFIG,
    KEY,
    TOKEN,
    install,
    main_pid,
    record,
    remote,
    until,
    user_data,
)
from tests.servers.machine import Machine, machine

from outlast_orchestrator.core.errors import Invalid, ProviderError, Transient
from outlast_orchestrator.remote.access import Access, Ways
from outlast_orchestrator.remote.login import ssh_command

TRIES = 300


def test_from_boot_to_a_living_agent(node: Machine, kept: Path) -> None:
    for trouble in install(remote(kept), record(node)):
        assert trouble.startswith(f"i-1: ssh to {node.address}:22: "), "each is a line that says where"
        assert "\n" not in trouble
    until(node, "test -e /home/outlast/outlast/alive")
    assert node.run("systemctl is-active outlast-agent outlast-deadman").split() == ["active", "active"]
    written = json.loads(node.run("cat /home/outlast/outlast/agent.json"))
    assert written["token"] == TOKEN
    assert node.run("stat -c '%a %U' /home/outlast/outlast/agent.json").split() == ["600", "outlast"]
    assert node.run("stat -c %U /proc/$(systemctl show -P MainPID outlast-agent)").strip() == "outlast"
    in_the_open = node.run(
        "cat /proc/*/cmdline /etc/systemd/system/outlast-*.service /var/lib/user-data; journalctl --no-pager"
    )
    assert TOKEN not in in_the_open
    order = node.run("systemctl show -P After outlast-agent")
    assert "network-online.target" in order, "it stops before the network does"


def test_a_person_gets_there_with_the_same_keys(node: Machine, kept: Path, tmp_path: Path) -> None:
    install(remote(kept), record(node))
    words = ["echo", "a  b", "$HOME"]
    mine = Access(KEY, "l1", node.address, Ways())
    done = subprocess.run(ssh_command(mine, tmp_path, words), capture_output=True, text=True, check=True)
    assert done.stdout == "a  b $HOME\n", "as it was typed here"
    other = tmp_path / "other"
    other.mkdir()
    refused = subprocess.run(
        ssh_command(Access(KEY, "l2", node.address, Ways()), other, ["true"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_a_port_of_the_machine_is_reached_from_here(node: Machine, kept: Path, tmp_path: Path) -> None:
    install(remote(kept), record(node))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = f"python3 -m http.server --bind 127.0.0.1 {port} --directory /etc/outlast-none & sleep 60"
    call = ssh_command(Access(KEY, "l1", node.address, Ways()), tmp_path, [serve], [port])
    with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as shown:
        try:
            assert _answers(port) == 404
        finally:
            shown.terminate()


def _answers(port: int) -> int:
    """The status of its first answer."""
    for _ in range(TRIES):
        with suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
            asked.request("GET", "/nothing")
            return asked.getresponse().status
        time.sleep(0.1)
    raise AssertionError(f"nothing answers at port {port}")


def test_a_second_installation_finds_it_running(node: Machine, kept: Path) -> None:
    hands = remote(kept)
    install(hands, record(node))
    before = main_pid(node)
    install(hands, record(node))
    install(remote(kept), record(node))
    assert main_pid(node) == before
    install(hands, record(node), replace(CONFIG, api_url="https://127.0.0.1:2"))
    assert main_pid(node) != before
    assert json.loads(node.run("cat /home/outlast/outlast/agent.json"))["api_url"].endswith(":2")
    assert (
        len(node.run("ls -d /home/outlast/outlast/agent-* /home/outlast/outlast/.agent-* || :").split()) == 1
    )


def test_an_agent_that_starts_meanwhile_takes_nothing_away(node: Machine, kept: Path) -> None:
    """It clears away what an earlier one has left half done; what is being installed is not its own."""
    install(remote(kept), record(node))
    half = "/home/outlast/outlast/.agent-next.part /home/outlast/outlast/.agent.json.part"
    own = "/home/outlast/outlast/.memory.json.7.new"
    node.run(f"cd /home/outlast/outlast; mkdir .agent-next.part; touch .agent.json.part {own}")
    node.run("chown -R outlast: /home/outlast/outlast; systemctl restart outlast-agent")
    until(node, f"test ! -e {own}")
    until(node, "test -e /home/outlast/outlast/alive")
    node.run(f"ls -d {half}")


def test_an_agent_that_dies_comes_back_and_so_does_the_switch(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    for unit in ("outlast-agent", "outlast-deadman"):
        before = int(node.run(f"systemctl show -P MainPID {unit}"))
        node.run(f"kill -9 {before}")
        until(node, f'p=$(systemctl show -P MainPID {unit}); [ "$p" -gt 0 ] && [ "$p" != {before} ]')


def test_another_host_key_gets_nothing(node: Machine, kept: Path) -> None:
    """The one that the image made before the boot script ran, or somebody else's at this address."""
    install(remote(kept), record(node))
    stranger = replace(record(node), launch_id="l2")
    with pytest.raises(Transient, match=r"host key that is not the one it was given.*Nothing was sent"):
        remote(kept).install(stranger, CONFIG)
    with pytest.raises(Transient, match="host key"):
        remote(kept, key=b"o" * 32).install(record(node), CONFIG)
    attempts = node.run("journalctl --no-pager -u ssh")
    assert attempts.count("Accepted publickey") == 1


def test_what_goes_wrong_on_the_node_is_told_with_the_step(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    node.run("systemctl stop outlast-agent; cd /home/outlast; rm -rf outlast; : > outlast")
    with pytest.raises(Transient, match=r"could not unpack the agent \(exit code 1\): .*outlast"):
        remote(kept).install(record(node), CONFIG)


def test_an_image_without_a_python_is_refused_for_good(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    node.run("find /usr/bin /usr/local/bin -name 'python3*' -delete")
    with pytest.raises(
        Invalid, match=r"i-1: its image has no Python .*: name another one in providers\.aws"
    ) as found:
        remote(kept).install(record(node), CONFIG)
    assert found.value.scope.key == "aws/r1"


def test_an_image_without_systemd_is_refused_for_good(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    node.run("systemctl stop outlast-agent; mv /run/systemd/system /run/systemd/system.away")
    with pytest.raises(Invalid, match="i-1: its image has no systemd"):
        remote(kept).install(record(node), CONFIG)


def test_a_way_of_ones_own_leads_there(node: Machine, kept: Path, tmp_path: Path) -> None:
    """As a jump host or a session manager would: a command whose input and output are the connection."""
    asked = tmp_path / "asked"
    relay = (
        "import os,socket,sys,threading\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
        f"open({str(asked)!r},'a').write(' '.join([*sys.argv[1:],str(os.getpid())])+'\\n')\n"
        "def out():\n"
        "    while b:=s.recv(65536): os.write(1,b)\n"
        "    os._exit(0)\n"
        "threading.Thread(target=out,daemon=True).start()\n"
        "while b:=os.read(0,65536): s.sendall(b)\n"
    )
    script = tmp_path / "relay.py"
    script.write_text(relay)
    ways = Ways(proxy_command=f"python3 {script} %h %p %r")
    install(remote(kept, ways=ways), record(node))
    *words, pid = asked.read_text().splitlines()[-1].split()
    assert words == [node.address, "22", "outlast"]
    assert not Path(f"/proc/{pid}").exists(), "it is gone with the connection"


def test_the_certificate_that_the_api_is_trusted_by_goes_along(node: Machine, kept: Path) -> None:
    install(remote(kept, authority="-----BEGIN CERTIFICATE-----\n"), record(node))
    assert (
        json.loads(node.run("cat /home/outlast/outlast/agent.json"))["ca_file"]
        == "/home/outlast/outlast/ca.pem"
    )
    assert node.run("cat /home/outlast/outlast/ca.pem").startswith("-----BEGIN")


def test_a_machine_that_nobody_comes_to_switches_itself_off(tmp_path: Path) -> None:
    with machine(tmp_path / "machine", user_data(install_limit_s=0.5)) as made:
        made.wait_until_off()
        assert not made.alive


def test_an_order_of_the_agent_switches_it_off(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    until(node, "test -e /home/outlast/outlast/alive")
    node.run("echo its job is over > /home/outlast/outlast/power-off")
    node.wait_until_off()
    assert b"switching this machine off" not in node.console, "that is for the journal"


def test_a_way_that_does_not_lead_there_says_why(kept: Path) -> None:
    ways = Ways(proxy_command="sh -c 'echo the tunnel is closed >&2; sleep 0.1'")
    with pytest.raises(Transient, match="the proxy command said: the tunnel is closed"):
        remote(kept, ways=ways).install(instance(id="i-1", address="10.0.0.1"), CONFIG)


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_a_machine_that_is_not_there_yet(address: str, kept: Path) -> None:
    with pytest.raises(ProviderError, match=r"no address yet|connection refused"):
        remote(kept, ways=Ways(port=1)).install(instance(id="i-1", address=address), CONFIG)
