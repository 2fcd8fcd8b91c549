"""Who may import whom: the table of docs/architecture.md, as the tidy test asks it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

ROOTS = ("agent", "orchestrator")
_HOUSE = "outlast_orchestrator"
_NAMESPACES = ("outlast", _HOUSE, f"{_HOUSE}.providers")  # what is named after them is a module
_STDLIB = sys.stdlib_module_names

BASE = frozenset({"obstore", "xxhash", "zstandard"})  # what a node has besides the standard library
TORCH = frozenset({"torch", "numpy", "safetensors", "transformers", "accelerate", "lightning"})
TORCH_MODULES = (
    "agent/outlast/checkpointer.py",
    "agent/outlast/save/gate_torch.py",
    "agent/outlast/integrations/",
)
# A command loads what only it needs; the registry loads a cloud's SDK when that cloud is configured;
# the package's `__getattr__` keeps `import outlast` light.
COMMAND_ONLY = (
    "orchestrator/outlast_orchestrator/clouds.py",
    "orchestrator/outlast_orchestrator/storage_keys.py",
    "orchestrator/outlast_orchestrator/cli/",
    "orchestrator/outlast_orchestrator/server.py",
    "agent/outlast/__init__.py",
)

# Of all providers: machine types, the marks of a launch, one look for all regions, prices that are kept.
COMMON_OF_CLOUDS = frozenset({"machines", "marks", "shared_look", "kept_prices"})

# package: (packages of the controller, libraries). Everyone may import core, the standard library and
# what of the agent both sides share.
TABLE: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "core": (frozenset(), frozenset()),
    "policies": (frozenset(), frozenset()),
    "jobfile": (frozenset(), frozenset({"pydantic", "pydantic_core", "yaml", "pathspec", "zstandard"})),
    "providers": (frozenset(), frozenset({"boto3", "botocore", "google", "azure", "tenacity"})),
    "remote": (frozenset(), frozenset({"paramiko", "cryptography"})),
    "store": (frozenset(), frozenset({"sqlmodel", "sqlalchemy", "alembic", "tenacity"})),
    "storage": (frozenset(), frozenset({"boto3", "botocore", "google", "azure", "httpx"})),
    "alerts": (frozenset(), frozenset({"apprise"})),
    "controller": (frozenset(), frozenset({"apscheduler", "structlog", "tenacity"})),
    "web": (
        frozenset({"store", "jobfile"}),
        frozenset({"fastapi", "starlette", "uvicorn", "pydantic", "jinja2", "prometheus_client"}),
    ),
    "cli": (frozenset({"jobfile", "settings"}), frozenset({"typer", "click", "rich", "httpx"})),
    "simulate": (frozenset({"policies", "controller"}), frozenset({"greenlet"})),
    "settings": (frozenset({"options"}), frozenset({"pydantic", "yaml"})),
    "options": (frozenset(), frozenset()),
}
ANYTHING = frozenset(
    {"server", "clouds", "storage_keys", "demo"}
)  # server and registries know all; the demo drives the others as a person would
INSIDE_COMMANDS = frozenset(
    {"server", "simulate", "demo", "storage", "remote"}
)  # cli: only inside the command that needs it

# What of the agent's package the controller's side may know.
SHARED = frozenset({"protocol", "cadence", "bucket", "restore", "ports"})
NOT_SIMULATED = frozenset({"checkpointer", "integrations", "clock", "alone", "__main__"})


@dataclass(frozen=True)
class Import:
    name: str  # the module, dotted
    line: int
    inside: bool  # of a function

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def second(self) -> str:
        return [*self.name.split("."), ""][1]


def imports_of(tree: ast.Module, file: str) -> Iterator[Import]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inside = {id(one) for one in found if any(begin <= one.lineno <= end for begin, end in lines)}
    package = file.removesuffix(".py").split("/")[1:-1]
    for node in found:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in inside)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}" if base in _NAMESPACES else base
                yield Import(name, node.lineno, id(node) in inside)


def reason_against(file: str, found: Import) -> str:
    """Why this file must not have this import; "" when it may."""
    if file.startswith("agent/"):
        return _agent(file, found)
    if file.startswith("orchestrator/"):
        return _house(file, found)
    return ""


def _agent(file: str, found: Import) -> str:
    if found.top == _HOUSE:
        return "the agent never knows the controller"
    if found.top in _STDLIB or found.top == "outlast" or found.top in BASE:
        return ""
    if found.top in TORCH and file.startswith(TORCH_MODULES):
        return ""
    return "the agent has the standard library and its three base dependencies"


def _house(file: str, found: Import) -> str:
    package = file.split("/")[2].removesuffix(".py")
    if found.top in _STDLIB or package in ANYTHING or package == "__init__":
        return ""
    if package not in TABLE:
        return f"{package} is not in the table"
    inside, libraries = TABLE[package]
    if found.top == _HOUSE:
        return _sibling(file, package, inside, found)
    if found.top == "outlast":
        return _shared(package, found)
    return "" if found.top in libraries else f"{package} does without this library"


def _sibling(file: str, package: str, inside: frozenset[str], found: Import) -> str:
    other = found.second
    if other in ("core", "") or other in inside:
        return ""
    if package == "cli" and found.inside and other in INSIDE_COMMANDS:
        return ""
    if other != package:
        return f"{package} must not know {other}"
    if package == "providers":  # providers/<mine>/…, importing outlast_orchestrator.providers.<theirs>
        mine, theirs = file.split("/")[3], [*found.name.split("."), ""][2]
        if theirs not in {mine, *COMMON_OF_CLOUDS} and not mine.endswith(".py"):
            return "a provider never knows another"
    return ""


def _shared(package: str, found: Import) -> str:
    part = found.second
    if package == "core":
        return "" if part == "protocol" else "of outlast, core knows only the protocol"
    if package == "simulate":
        return f"outlast.{part} is not simulated" if part in NOT_SIMULATED else ""
    if package == "cli" and part == "alone":
        return ""  # `agent run` is the agent itself, in this process
    return "" if part in SHARED else f"of outlast, only {', '.join(sorted(SHARED))} are shared"
