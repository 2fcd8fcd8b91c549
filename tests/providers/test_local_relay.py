"""The relay between agents and API can fall silent, and then loses not one byte and tells no end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from tests.providers.local_api import EchoApi, receive

from outlast_orchestrator.providers.local.relay import Relay


@pytest.fixture
def api() -> Iterator[EchoApi]:
    made = EchoApi()
    yield made
    made.stop()


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    made.stop()


def test_silence_holds_every_byte_and_loses_none(relay: Relay, api: EchoApi) -> None:
    port = relay.listen("i-1")
    relay.lead("i-1", "127.0.0.1", api.port)
    sent = bytes(range(256)) * 8192  # 2 MiB: more than any buffer on the way
    with socket.create_connection(("127.0.0.1", port), timeout=20) as end:
        end.sendall(b"before")
        assert receive(end, 6) == b"before"
        relay.set_silent("i-1", True)
        sender = threading.Thread(target=end.sendall, args=(sent,), daemon=True)
        sender.start()
        late = socket.create_connection(("127.0.0.1", port), timeout=20)
        late.sendall(b"+late")
        late.shutdown(socket.SHUT_WR)
        end.settimeout(0.5)
        with pytest.raises(TimeoutError):
            end.recv(1)
        assert bytes(api.got) == b"before"
        relay.set_silent("i-1", False)
        end.settimeout(20)
        assert receive(end, len(sent)) == sent
        assert receive(late, 100) == b"+late"  # and then its end, passed on both ways
        late.close()
        sender.join(20)


def test_lines_are_silent_each_for_itself(relay: Relay, api: EchoApi) -> None:
    ends = {}
    for name in ("i-1", "i-2"):
        port = relay.listen(name)
        relay.lead(name, "127.0.0.1", api.port)
        ends[name] = socket.create_connection(("127.0.0.1", port), timeout=10)
    relay.set_silent("i-1", True)
    for end in ends.values():
        end.sendall(b"word")
    assert receive(ends["i-2"], 4) == b"word"
    ends["i-1"].settimeout(0.3)
    with pytest.raises(TimeoutError):
        ends["i-1"].recv(1)
    relay.cut("i-1")
    ends["i-1"].settimeout(10)
    with pytest.raises(ConnectionResetError):
        receive(ends["i-1"], 4)
    for end in ends.values():
        end.close()


def test_an_api_that_is_down_ends_the_connection_and_a_new_address_heals_it(
    relay: Relay, api: EchoApi
) -> None:
    port = relay.listen("i-1")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead_port = gone.getsockname()[1]
    relay.lead("i-1", "127.0.0.1", dead_port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as end:
        assert end.recv(1) == b""
    relay.lead("i-1", "127.0.0.1", api.port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as end:
        end.sendall(b"word")
        assert receive(end, 4) == b"word"
