"""One SSH connection to a node whose host key is known before: run a command there, hand it bytes."""

from __future__ import annotations

import base64
import io
import logging
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import paramiko

from outlast_orchestrator.remote.access import LOGIN, Access
from outlast_orchestrator.remote.keys import KIND, host_key, login_key
from outlast_orchestrator.remote.proxy import filled, proxied

CONNECT_LIMIT_S = 15.0
LOGIN_LIMIT_S = 30.0
CHUNK_BYTES = 1 << 16

# Whatever it logs is raised as well, and with a traceback it would be no line for a person.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class SshTrouble(Exception):
    """One line: what could not be done. Nothing was sent to a machine that shows another host key."""


class EndedEarly(Exception):
    """The other side takes no more input."""


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str


class Shell:
    """Runs scripts over a connection that is there."""

    def __init__(self, transport: paramiko.Transport, name: str) -> None:
        self._transport = transport
        self._name = name

    def run(self, script: str, stdin: bytes = b"", *, limit_s: float) -> Ran:
        """`script` is for /bin/sh and shows in the node's list of processes: secrets go into `stdin`.

        Raises SshTrouble when the connection breaks, or nothing moves for `limit_s`.
        """
        try:
            channel = self._transport.open_session(timeout=CONNECT_LIMIT_S)
            with channel:
                channel.settimeout(limit_s)
                channel.exec_command(f"/bin/sh -c {shlex.quote(script)}")
                with suppress(EndedEarly):
                    _send(channel, stdin)
                stdout = channel.makefile("rb").read()
                stderr = channel.makefile_stderr("rb").read()
                if not channel.status_event.wait(limit_s):
                    raise TimeoutError
                code = channel.recv_exit_status()
                if code < 0:
                    raise EOFError("without an exit code")
                return Ran(code, _text(stdout), _text(stderr))
        except TimeoutError as error:
            raise SshTrouble(f"{self._name}: a command did not move for {limit_s:g} s") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise SshTrouble(f"{self._name}: the connection broke ({_why(error)})") from error


@contextmanager
def connected(access: Access) -> Iterator[Shell]:
    """Raises SshTrouble when the machine can't be reached, is another one, or does not let us in."""
    name = f"ssh to {access.address}:{access.ways.port}"
    with _reached(access, name) as reached:
        transport = paramiko.Transport(reached)
        try:
            _log_in(transport, access, name)
            yield Shell(transport, name)
        finally:
            transport.close()


@contextmanager
def _reached(access: Access, name: str) -> Iterator[socket.socket]:
    ways = access.ways
    if not ways.proxy_command:
        try:
            direct = socket.create_connection((access.address, ways.port), CONNECT_LIMIT_S)
        except OSError as error:
            raise SshTrouble(f"{name}: {_why(error)}") from error
        with direct:
            yield direct
        return
    with proxied(filled(ways.proxy_command, access.address, ways.port, LOGIN)) as way:
        try:
            yield way.socket
        except SshTrouble as error:
            said = way.said()
            raise SshTrouble(f"{error}; the proxy command said: {said}" if said else str(error)) from error


def _log_in(transport: paramiko.Transport, access: Access, name: str) -> None:
    transport.banner_timeout = transport.auth_timeout = LOGIN_LIMIT_S
    transport.get_security_options().key_types = (KIND,)
    try:
        transport.start_client(timeout=LOGIN_LIMIT_S)
        shown = transport.get_remote_server_key()
        found = f"{shown.get_name()} {base64.b64encode(shown.asbytes()).decode()}"
        if found != host_key(access.key, access.launch_id).public:
            raise SshTrouble(
                f"{name}: it shows a host key that is not the one it was given: it still boots, or it is "
                "another machine. Nothing was sent to it"
            )
        private = io.StringIO(login_key(access.key).private)
        transport.auth_publickey(LOGIN, paramiko.Ed25519Key(file_obj=private))
    except paramiko.AuthenticationException as error:
        raise SshTrouble(f"{name}: it does not let {LOGIN} in") from error
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise SshTrouble(
            f"{name}: it has no {KIND} host key, so it is not, or not yet, the machine that was prepared"
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise SshTrouble(f"{name}: {_why(error)}") from error


def _send(channel: paramiko.Channel, body: bytes) -> None:
    """Raises EndedEarly when the command ends before it has read all: why, its output and exit code say."""
    try:
        for at in range(0, len(body), CHUNK_BYTES):
            channel.sendall(body[at : at + CHUNK_BYTES])
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError as error:
        raise EndedEarly from error


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
