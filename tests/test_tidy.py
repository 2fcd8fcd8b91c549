"""The house rules of docs/style.md as tests: a rule that no test holds is a wish."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import requires
from pathlib import Path

import pytest
from tests.tidy_imports import COMMAND_ONLY, ROOTS, TORCH_MODULES, Import, imports_of, reason_against

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50

# Rule by rule, places that may break it for now, as "path: rule". The list may only shrink.
EXCEPTIONS: frozenset[str] = frozenset()

CLOCK_CALLS = re.compile(r"(time|monotonic|perf_counter|process_time)(_ns)?|sleep|clock_gettime")
IMPURE = re.compile(
    "asyncio|http|io|logging|os|pathlib|random|secrets|select|shutil|signal|socket|sqlite3|subprocess|sys"
    "|tempfile|threading|time|urllib"
)
PURE_PLACES = (
    "orchestrator/outlast_orchestrator/core/",
    "orchestrator/outlast_orchestrator/policies/",
    "agent/outlast/protocol/",
    "agent/outlast/decide.py",
    "agent/outlast/cadence.py",
)
TRAINERS = "/demo/job/"  # a user's training script, not a part of us
RULE_BOOK = ("tests/test_tidy.py", "tests/test_tidy_catches.py")  # these name what they forbid
SPEAKS = ("/cli/", "/demo/")
PROVIDER_NAMES = re.compile(r"(?<![A-Za-z])(aws|amazon|ec2|boto3|gcp|gce|google|azure)(?![A-Za-z])", re.I)
PROVIDER_PLACES = (
    "/providers/",
    "/notices/",
    "/clouds.py",
    "/server.py",
    "/storage_keys.py",
    "/storage/",
)  # the last: words to mend with
# Settings of the stores' clients, URL schemes, and the commands that people mend a bucket with.
STORAGE_NAMES = re.compile(r"(AWS|GOOGLE|AZURE)_[A-Z0-9_]+|aws_[a-z0-9_]+|aws:kms|^azure$")
STORAGE_PLACES = ("/bucket/",)


@dataclass(frozen=True, eq=False)
class Module:
    path: Path
    name: str  # relative to the root, with "/"
    source: str
    tree: ast.Module

    @property
    def product(self) -> bool:
        return not self.name.startswith("tests/")


@cache
def imports(module: Module) -> tuple[Import, ...]:
    return tuple(imports_of(module.tree, module.name))


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for folder in (*ROOTS, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text("utf-8")
            found.append(
                Module(path, path.relative_to(ROOT).as_posix(), source, ast.parse(source, str(path)))
            )
    return tuple(found)


Rule = Callable[[Module], Iterator[tuple[int, str]]]


def sizes(module: Module) -> Iterator[tuple[int, str]]:
    lines = module.source.count("\n")
    if lines > FILE_LINES_MAX:
        yield 1, f"{lines} lines, {FILE_LINES_MAX} are allowed"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {length} lines, {FUNCTION_LINES_MAX} are allowed"


def docstrings(module: Module) -> Iterator[tuple[int, str]]:
    told = ast.get_docstring(module.tree)
    if not told:
        yield 1, "no docstring says what the module is responsible for"
    elif module.name.startswith(PURE_PLACES) and "Pure" not in told:
        yield 1, 'the docstring of a pure module says "Pure."'


def purity(module: Module) -> Iterator[tuple[int, str]]:
    """Whoever says "Pure" is held to it."""
    told = ast.get_docstring(module.tree) or ""
    if not module.product or not re.search(r"\bPure[.:]", told):
        return
    for found in imports(module):
        if IMPURE.fullmatch(found.top):
            yield found.line, f"says that it is pure and imports {found.name}"


def names(module: Module) -> Iterator[tuple[int, str]]:
    if {"utils", "util", "helpers", "common", "misc"} & {*module.path.parts, module.path.stem}:
        yield 1, "is named after nothing: say what it is responsible for"


def clocks(module: Module) -> Iterator[tuple[int, str]]:
    if not module.product or module.path.name == "clock.py" or TRAINERS in module.name:
        return
    for found in imports(module):
        simulated = found.top == "random" and "/simulate/" in module.name
        if found.top in ("random", "secrets", "uuid") and not simulated:
            yield found.line, f"imports {found.top}: take ids and dice from the clock port"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield node.lineno, "imports from time: take the clock port"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            call = f"{node.value.id}.{node.attr}"
            if node.value.id == "time" and CLOCK_CALLS.fullmatch(node.attr):
                yield node.lineno, f"{call}: take the clock port"
            if call in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.urandom"):
                yield node.lineno, f"{call}: take the clock port"


def handlers(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kind = ast.unparse(node.type) if node.type else "everything"
        broad = re.search(r"\b(Base)?Exception\b|^everything$", kind)
        raises_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        survives = module.path.name in ("loop.py", "act.py", "calls.py")  # whatever happens
        if broad and module.product and not raises_again and not survives:
            yield node.lineno, f"catches {kind}: catch what you mean"
        if all(isinstance(statement, ast.Pass) for statement in node.body):
            yield node.lineno, f"swallows {kind} in silence"


def speech(module: Module) -> Iterator[tuple[int, str]]:
    if not module.product or any(place in module.name for place in SPEAKS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "prints: only cli/ talks to people"


def fakes(module: Module) -> Iterator[tuple[int, str]]:
    if module.name in RULE_BOOK:
        return
    for number, line in enumerate(module.source.splitlines(), 1):
        if re.search(r"\bmock\.patch|MagicMock|monkeypatch\.setattr|unittest\.mock|mocker\.", line):
            yield number, "patches: use a fake that ships"


def unfinished(module: Module) -> Iterator[tuple[int, str]]:
    if module.name in RULE_BOOK:
        return
    for number, line in enumerate(module.source.splitlines(), 1):
        if re.search(r"#.*\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError", line):
            yield number, "is unfinished"
        if re.search(r"(?<![\w./])/(work|farm|root)/\w", line):
            yield number, "names a path of one machine"
        if module.product and re.search(r"\bshell\s*=\s*True|\bpickle\.loads?\(|AutoAddPolicy", line):
            yield number, "is unsafe"


def provider_names(module: Module) -> Iterator[tuple[int, str]]:
    if not module.product or any(place in f"/{module.name}" for place in PROVIDER_PLACES):
        return
    texts = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(module.tree):
        word = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            word = node.value
        elif isinstance(node, ast.Name):
            word = node.id
        elif isinstance(node, ast.Attribute):
            word = node.attr
        if any(place in module.name for place in STORAGE_PLACES):
            word = STORAGE_NAMES.sub("", word)
        if PROVIDER_NAMES.search(word):
            yield node.lineno, f"{word[:50]!r} names a provider"  # type: ignore[attr-defined]
        if isinstance(node, ast.Compare) and "'local'" in ast.unparse(node):
            yield node.lineno, "asks whether the provider is 'local'"


def import_table(module: Module) -> Iterator[tuple[int, str]]:
    for found in imports(module):
        reason = reason_against(module.name, found)
        if reason:
            yield found.line, f"imports {found.name}: {reason}"
        if found.inside and module.product and not module.name.startswith(COMMAND_ONLY):
            yield found.line, f"imports {found.name} inside a function"


RULES: dict[str, Rule] = {
    "size": sizes,
    "docstring": docstrings,
    "pure": purity,
    "name": names,
    "clock": clocks,
    "except": handlers,
    "print": speech,
    "fake": fakes,
    "unfinished": unfinished,
    "provider": provider_names,
    "import": import_table,
}


@pytest.mark.parametrize("rule", RULES)
def test_house_rule(rule: str) -> None:
    broken = [
        f"{module.name}:{line} {what}"
        for module in modules()
        for line, what in RULES[rule](module)
        if f"{module.name}: {rule}" not in EXCEPTIONS
    ]
    assert not broken, f"rule '{rule}' is broken:\n" + "\n".join(broken)


def test_exceptions_are_still_needed() -> None:
    unneeded = [one for one in EXCEPTIONS if not is_broken(one)]
    assert not unneeded, f"no longer needed: {sorted(unneeded)}"
    assert not is_broken("tests/test_tidy.py: size")


def is_broken(exception: str) -> bool:
    """Whether the named file breaks the named rule."""
    name, _, rule = exception.partition(": ")
    return any(True for module in modules() if module.name == name for _ in RULES[rule](module))


def _python(code: str) -> str:
    """A fresh interpreter: what this test run has loaded must not be seen."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_outlast_is_light() -> None:
    heavy = ("torch", "numpy", "obstore", "safetensors", "transformers", "pydantic", "outlast_orchestrator")
    code = f"import outlast, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert _python(code) == "[]"


_ON_A_NODE = """
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {allowed!r}:
            raise ModuleNotFoundError(f"{{name}} is not on a node", name=name)
        return None

sys.meta_path.insert(0, Absent())
for name in {modules!r}:
    importlib.import_module(name)
print("ok")
"""


def test_the_agent_imports_on_a_bare_node() -> None:
    base = {re.split(r"[^\w-]", line)[0] for line in requires("outlast") or () if "extra ==" not in line}
    below = {re.split(r"[^\w-]", line)[0] for name in base for line in requires(name) or ()}
    allowed = {name.replace("-", "_") for name in base | below} | {"outlast"}
    files = [m for m in modules() if m.name.startswith("agent/outlast/")]
    bare = [m for m in files if not m.name.startswith(TORCH_MODULES) and m.path.name != "__main__.py"]
    dotted = [m.name.removeprefix("agent/").removesuffix(".py").replace("/", ".") for m in bare]
    code = _ON_A_NODE.format(allowed=allowed, modules=[name.removesuffix(".__init__") for name in dotted])
    assert _python(code) == "ok"
