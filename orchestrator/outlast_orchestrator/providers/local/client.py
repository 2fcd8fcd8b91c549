"""Calls the control API of a local cloud, whose address lies in the cloud's state folder."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

CALL_LIMIT_S = 20.0
COMMAND_LIMIT_S = 150.0  # of calls that wait for a program, or for processes to end
SLOW_CALLS = ("execute", "start", "stop")


class Unreachable(Exception):
    """No answer came: the cloud is not there, or the reply was lost and the call may have taken place."""


class CallRefused(Exception):
    """The cloud answered no."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Client:
    """Looks the address up anew for every call: a restarted cloud has another."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def call(self, op: str, /, **body: Any) -> Any:
        """Raises Unreachable and CallRefused."""
        try:
            contact = json.loads((self.state_dir / "cloud.json").read_text())
        except FileNotFoundError as error:
            raise Unreachable(f"no local cloud runs in {self.state_dir}") from error
        except (OSError, json.JSONDecodeError) as error:
            raise Unreachable(f"{self.state_dir / 'cloud.json'} can't be read: {error}") from error
        headers = {"Authorization": f"Bearer {contact['token']}", "Content-Type": "application/json"}
        limit_s = COMMAND_LIMIT_S if op in SLOW_CALLS else CALL_LIMIT_S
        connection = http.client.HTTPConnection("127.0.0.1", contact["port"], timeout=limit_s)
        try:
            connection.request("POST", f"/v1/{op}", json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise Unreachable(f"the local cloud did not answer to {op}: {error!r}") from error
        finally:
            connection.close()
        if response.status == http.client.OK:
            return answer["value"]
        raise CallRefused(answer["code"], answer["message"])
