"""The dead-man switch: user data of a node that switches it off when nobody else can. Pure.

It is a POSIX shell script that needs nothing but `/proc/uptime`, `stat` and `sleep`, so it works where the
agent could not even be installed. It measures durations only, never the node's clock, and it looks at the
agent's own files only: that the controller is silent is no reason to end a machine.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

FOLDER = "outlast"  # below the home of whoever runs the agent
ALIVE = "alive"  # the agent touches it as long as its loop moves
POWER_OFF = "power-off"  # the agent writes why: ended and drained, fenced, or its lease is lost

INSTALL_LIMIT_S = 1800.0
HUNG_AFTER_S = 600.0
LOOK_EVERY_S = 5.0
STEP_LOOKS = 3  # a longer gap between two looks counts as so many: the machine itself was frozen


@dataclass(frozen=True)
class Deadman:
    """`power_off` is a shell command; the default is that of a machine which names one in its environment."""

    max_life_s: float
    install_limit_s: float = INSTALL_LIMIT_S
    hung_after_s: float = HUNG_AFTER_S
    look_every_s: float = LOOK_EVERY_S
    folder: str = f'"$HOME"/{FOLDER}'  # a shell word, quoted as it must be
    power_off: str = '"${OUTLAST_POWEROFF:?}"'

    def __post_init__(self) -> None:
        for name in ("max_life_s", "install_limit_s", "hung_after_s", "look_every_s"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{name} must be above 0, found {value}")


_SCRIPT = """\
#!/bin/sh
# Outlast's dead-man switch. Times are in hundredths of a second of the machine's own uptime.
folder={folder}
uptime_cs() {{
    read -r up rest < /proc/uptime
    echo "${{up%%.*}}${{up##*.}}"
}}
born=$(uptime_cs)
last=$born
seen=
quiet=0
while :; do
    now=$(uptime_cs)
    step=$((now - last))
    last=$now
    # A machine that was frozen must not take its own sleep for the agent's.
    if [ "$step" -gt {step_cs} ]; then step={step_cs}; fi
    mark=$(stat -c '%y %i' "$folder/{alive}" 2>/dev/null)
    if [ -n "$mark" ] && [ "$mark" != "$seen" ]; then
        seen=$mark
        quiet=0
    else
        quiet=$((quiet + step))
    fi
    why=
    if [ -e "$folder/{power_off_file}" ]; then
        why="the agent asked for it: $(head -c 200 "$folder/{power_off_file}")"
    elif [ $((now - born)) -ge {life_cs} ]; then
        why={life_why}
    elif [ -z "$seen" ] && [ "$quiet" -ge {install_cs} ]; then
        why={install_why}
    elif [ -n "$seen" ] && [ "$quiet" -ge {hung_cs} ]; then
        why={hung_why}
    fi
    if [ -n "$why" ]; then
        printf 'outlast: switching this machine off: %s\\n' "$why"
        {power_off}
    fi
    sleep {look_s}
done
"""


def user_data(deadman: Deadman) -> str:
    """The script; equal settings give equal texts, as a repeated launch token demands."""
    return _SCRIPT.format(
        folder=deadman.folder,
        alive=ALIVE,
        power_off_file=POWER_OFF,
        step_cs=_cs(STEP_LOOKS * deadman.look_every_s),
        life_cs=_cs(deadman.max_life_s),
        install_cs=_cs(deadman.install_limit_s),
        hung_cs=_cs(deadman.hung_after_s),
        life_why=shlex.quote(f"its life of at most {deadman.max_life_s:g} s is over"),
        install_why=shlex.quote(f"no agent was installed within {deadman.install_limit_s:g} s"),
        hung_why=shlex.quote(f"the agent has not moved for {deadman.hung_after_s:g} s"),
        power_off=deadman.power_off,
        look_s=f"{deadman.look_every_s:g}",
    )


def _cs(seconds: float) -> int:
    return max(1, math.ceil(seconds * 100))
