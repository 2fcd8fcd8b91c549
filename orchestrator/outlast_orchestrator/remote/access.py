"""How a machine is reached by SSH, for the controller and for people alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LOGIN = "outlast"  # the user that agent and trainer run as
# Stands in the user data that is saved with the intent; the host key itself is filled in for the call only.
PLACE = "@OUTLAST-HOST-KEY@"


@dataclass(frozen=True)
class Ways:
    """As a person says it of a cloud, in `providers.<cloud>.ssh`.

    `proxy_command` is OpenSSH's: its standard input and output are the connection (a jump host, AWS Session
    Manager, Google's IAP); %h, %p and %r are address, port and user.
    """

    port: int = 22
    proxy_command: str = ""


@dataclass(frozen=True)
class Access:
    """To the machine of one launch. `key` is the server's: both keys of the connection follow from it."""

    key: bytes
    launch_id: str
    address: str
    ways: Ways
