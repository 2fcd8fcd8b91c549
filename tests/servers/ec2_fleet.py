"""What a fleet finds in its pools: the first that is not dry, or nothing, and why in each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.wrappers import Response

_KEY = re.compile(r"LaunchTemplateConfigs\.1\.Overrides\.(\d+)\.(\w+)")
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
MARKET = "TargetCapacitySpecification.DefaultTargetCapacityType"


@dataclass(frozen=True)
class Refused:
    kind: str
    zone: str
    code: str
    words: str


def pools_of(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """The overrides of the request, in its order."""
    pools: dict[int, dict[str, str]] = {}
    for key, value in fields.items():
        if match := _KEY.fullmatch(key):
            pools.setdefault(int(match[1]), {})[match[2]] = value
    return [pools[number] for number in sorted(pools)]


def refusal(pool: Mapping[str, str], market: str, dry: Mapping[tuple[str, str, str], str]) -> Refused | None:
    kind, zone = pool["InstanceType"], pool["AvailabilityZone"]
    if not _TYPE.fullmatch(kind):
        return Refused(kind, zone, "InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    code = dry.get((zone, kind, market))
    words = f"We currently do not have sufficient {kind} capacity in {zone}."
    return None if code is None else Refused(kind, zone, code, words)


def with_one_pool(fields: Mapping[str, str], pool: Mapping[str, str]) -> dict[str, str]:
    """The same request, for that pool alone."""
    kept = {key: value for key, value in fields.items() if not _KEY.fullmatch(key)}
    return {**kept, **{f"LaunchTemplateConfigs.1.Overrides.1.{key}": value for key, value in pool.items()}}


def empty_fleet(refused: list[Refused]) -> Response:
    items = "".join(
        f"<item><launchTemplateAndOverrides><overrides><instanceType>{one.kind}</instanceType>"
        f"<availabilityZone>{one.zone}</availabilityZone></overrides></launchTemplateAndOverrides>"
        f"<errorCode>{one.code}</errorCode><errorMessage>{one.words}</errorMessage></item>"
        for one in refused
    )
    text = (
        '<CreateFleetResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>'
        f"<fleetId>fleet-0</fleetId><errorSet>{items}</errorSet><fleetInstanceSet/></CreateFleetResponse>"
    )
    return Response(text, 200, content_type="text/xml")
