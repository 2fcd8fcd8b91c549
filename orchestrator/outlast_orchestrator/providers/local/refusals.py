"""Why the local cloud says no: its error codes, in the words of a real cloud. Pure."""

from __future__ import annotations

CAPACITY = "InsufficientInstanceCapacity"
QUOTA = "MaxSpotInstanceCountExceeded"
DENIED = "UnauthorizedOperation"
THROTTLED = "RequestLimitExceeded"
INTERNAL = "InternalError"
UNAVAILABLE = "Unavailable"
TOKEN_MISMATCH = "IdempotentParameterMismatch"  # noqa: S105  # the name of an error
INVALID = "InvalidParameterValue"
NO_SUCH_INSTANCE = "InvalidInstanceID.NotFound"
INCORRECT_STATE = "IncorrectInstanceState"

STATUS = {
    CAPACITY: 500,  # as the real one: clients that retry every 5xx are caught by it
    QUOTA: 400,
    DENIED: 403,
    THROTTLED: 503,
    INTERNAL: 500,
    UNAVAILABLE: 503,
    TOKEN_MISMATCH: 400,
    INVALID: 400,
    NO_SUCH_INSTANCE: 404,
    INCORRECT_STATE: 409,
}


class Refused(Exception):
    """The answer to a call that the cloud does not carry out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
