"""The commands that put the agent on a node: small POSIX shell scripts, each safe to repeat. Pure.

No script holds a secret: the node's list of processes shows it. The configuration with the token comes by
standard input.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from outlast_orchestrator.remote.bundle import Target
from outlast_orchestrator.remote.deadman import FOLDER

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
UNIT = "outlast-agent"
NOTHING_FITS = 44  # exit code of `LOOK`
NO_SYSTEMD = 45  # … of `start`
NO_DRIVER, GPUS_ARE_BAD = 46, 47  # … of `gpus`
# Errors after which a GPU computes nothing, or nothing right: fallen off the bus, memory, NVLink.
# https://docs.nvidia.com/deploy/xid-errors/
XIDS = (48, 63, 64, 74, 79, 94, 95)
DRIVER_LIMIT_S = 180  # after the boot, until it has found all
CONFIG = "agent.json"
AUTHORITY = "ca.pem"


@dataclass(frozen=True)
class Step:
    """`name` completes "could not …"."""

    name: str
    script: str
    limit_s: float = 60.0


# The image's own python3 first: it is the one that a job's setup finds as well.
LOOK = Step(
    "look at the node",
    f"""\
for python in python3 {" ".join(f"python{one}" for one in reversed(PYTHONS))}; do
    path=$(command -v "$python") || continue
    "$path" -I -c 'import platform, sys
version = "%d.%d" % sys.version_info[:2]
if version not in "{" ".join(PYTHONS)}".split() or platform.libc_ver()[0] != "glibc": sys.exit(1)
print(sys.executable, version, platform.machine())' && exit 0
done
exit {NOTHING_FITS}
""",
)


def target_of(said: str) -> tuple[str, Target]:
    """Interpreter and target, from what `LOOK` printed. Raises ValueError."""
    path, version, machine = said.split()
    return path, Target(version, machine)


def gpus(count: int) -> Step:
    """Standard error says what is wrong. An exit code of 1: not all are there yet, and it is still early."""
    return Step(
        "find its GPUs",
        f"""command -v nvidia-smi >/dev/null || exit {NO_DRIVER}
found=$(nvidia-smi --query-gpu=uuid --format=csv,noheader 2>&1 | grep -c '^GPU-')
xid=$(sudo -n dmesg | grep -oE 'NVRM: Xid \\([^)]*\\): ({"|".join(map(str, XIDS))}),' | tail -n 1)
fabric=$(systemctl is-failed nvidia-fabricmanager)
if [ "$fabric" = failed ]; then fabric="; the fabric manager has failed"; else fabric=; fi
if [ "$found" -ge {count} ] && [ -z "$xid$fabric" ]; then exit 0; fi
echo "$found of {count} GPUs answer${{xid:+; the kernel says $xid}}$fabric" >&2
read -r up rest < /proc/uptime
if [ -z "$xid$fabric" ] && [ "${{up%%.*}}" -lt {DRIVER_LIMIT_S} ]; then exit 1; fi
exit {GPUS_ARE_BAD}
""",
    )


def has(bundle: str) -> Step:
    """Exit code 0: it is there, whole."""
    return Step("look for the agent", f'test -d "$HOME"/{FOLDER}/{shlex.quote(bundle)}')


# What is half done is called `.…part`: an agent that starts meanwhile clears away its own `.….new`.


def unpack(bundle: str) -> Step:
    """Standard input: the bundle. It appears whole, or not at all."""
    name = shlex.quote(bundle)
    return Step(
        "unpack the agent",
        f"""\
set -eu
umask 077
mkdir -p "$HOME"/{FOLDER}
cd "$HOME"/{FOLDER}
rm -rf .{name}.part
mkdir .{name}.part
tar -xzf - -C .{name}.part
[ -d {name} ] || mv .{name}.part {name}
""",
        limit_s=300.0,
    )


def write(file: str) -> Step:
    """Standard input: what goes into it. Nobody else may read it, and nobody ever reads half of it."""
    return Step(
        f"write {file}",
        f'set -eu; umask 077; mkdir -p "$HOME"/{FOLDER}; cd "$HOME"/{FOLDER}; '
        f"cat > .{file}.part && mv .{file}.part {file}",
    )


def start(python: str, bundle: str, key: str) -> Step:
    """Starts the agent; with the same `key` as before it only makes sure that it runs.

    At the end of the machine systemd stops it before the network, so that it can still save and say so.
    The shell is a login shell: what the image puts into PATH there, the training finds.
    """
    command = f'exec {python} -I "$HOME/{FOLDER}/{bundle}" --config "$HOME/{FOLDER}/{CONFIG}"'
    unit = f"""\
[Unit]
Description=Outlast's agent ({key})
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
User={{user}}
ExecStart=/bin/sh -l -c {_unit_quoted(command)}
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=110
LimitNOFILE=1048576
LimitMEMLOCK=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""
    return Step(
        "start the agent",
        f"""\
set -eu
[ -d /run/systemd/system ] || {{ echo "there is no systemd here" >&2; exit {NO_SYSTEMD}; }}
file=/etc/systemd/system/{UNIT}.service
if systemctl is-active --quiet {UNIT} && grep -q {shlex.quote(f"({key})")} $file; then exit 0; fi
sed "s/{{user}}/$(id -un)/" <<'OUTLAST-END' | sudo -n sh -c "cat > $file"
{unit}OUTLAST-END
sudo -n systemctl daemon-reload
sudo -n systemctl enable --quiet {UNIT}
sudo -n systemctl restart {UNIT}
""",
        limit_s=180.0,
    )


def _unit_quoted(command: str) -> str:
    """As systemd reads a word: it expands $ and % by itself. See systemd.service(5), "Command lines"."""
    text = command.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
    return f'"{text}"'
