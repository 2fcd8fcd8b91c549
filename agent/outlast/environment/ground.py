"""What an environment is made on, and the digest of all that it was made from."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from outlast.protocol.messages import Work

FORMAT = 1  # of the packs; a newer agent that packs in another way looks for another digest
ASK_LIMIT_S = 60.0
DIGEST_CHARS = 32
NAME_CHARS = 16

# Extensions that a compiler may have used on the first node: missing on the next, they end the training.
_INSTRUCTIONS = re.compile(r"avx|amx|sse|fma|f16c|bmi|adx|aes|sha|gfni|vpcl|asimd|sve|atomics|bf16|i8mm")
_ASK = """
import json, os, platform, sys, sysconfig
base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
print(json.dumps([base, platform.python_version(), sysconfig.get_config_var("SOABI") or "",
                  " ".join(platform.libc_ver())]))
"""


class NoGround(Exception):
    """No environment can be made on this node; the message says why."""


@dataclass(frozen=True)
class Ground:
    """An environment fits a node whose ground is the same, in every word."""

    python: str  # the interpreter itself: the environment links to it
    version: str
    abi: str
    libc: str
    machine: str
    system: str  # which distribution: packages link against its libraries
    instructions: str
    gpus: str  # kernels may have been compiled for just these

    def words(self) -> dict[str, str]:
        return dict(vars(self))


def look(python: str) -> Ground:
    """Asks the interpreter, and this machine. Raises NoGround."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False
        )
        base, version, abi, libc = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise NoGround(f"{python} does not say what it is: {error}") from error
    return Ground(
        python=base,
        version=version,
        abi=abi,
        libc=libc,
        machine=platform.machine(),
        system=system_of(_read("/etc/os-release")),
        instructions=instructions_of(_read("/proc/cpuinfo")),
        gpus=gpus_of(Path("/proc/driver/nvidia/gpus")),
    )


def digest_of(work: Work, ground: Ground, root: str) -> str:
    """The code is in it as a whole: `install` may read any file of it. So is where the environment lies, for
    its scripts name their interpreter by an absolute path."""
    made_from = {
        "format": FORMAT,
        "root": root,
        "ground": ground.words(),
        "install": work.install,
        "setup": work.setup,  # it comes first, and may bring what `install` links against
        "code": work.code,
        "env": sorted(work.env.items()),
    }
    body = json.dumps(made_from, sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest()[:DIGEST_CHARS]


def folder_name(digest: str) -> str:
    """Short: the first line of a script may have 127 characters on some systems."""
    return digest[:NAME_CHARS]


def difference(made_for: dict[str, str], here: dict[str, str]) -> str:
    """Why an environment that is kept does not fit here, in words; "": it was made from other things."""
    for name, value in sorted(here.items()):
        if made_for.get(name, "") != value:
            return f"its {name} is {made_for.get(name) or 'not known'}, here it is {value or 'none'}"
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def system_of(text: str) -> str:
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return f"{found.get('ID', '')} {found.get('VERSION_ID', '')}".replace('"', "").strip()


def instructions_of(text: str) -> str:
    """Of the first processor: on one machine all have the same."""
    for line in text.splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join(sorted(word for word in set(words.split()) if _INSTRUCTIONS.match(word)))
    return ""


def gpus_of(root: Path) -> str:
    models = set()
    for file in root.glob("*/information"):
        for line in _read(str(file)).splitlines():
            name, _, model = line.partition(":")
            if name == "Model":
                models.add(model.strip())
    return ", ".join(sorted(models))
