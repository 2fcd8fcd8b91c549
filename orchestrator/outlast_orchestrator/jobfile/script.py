"""Reads calls, literals, options and environment out of a training script, without running it. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

CHECKPOINT_DIR, RESUME_FROM = "OUTLAST_CHECKPOINT_DIR", "OUTLAST_RESUME_FROM"
DEPTH_MAX = 12
PATHS = frozenset({"Path", "pathlib.Path", "pathlib.PurePath", "str", "os.fspath"})
JOINS = frozenset({"os.path.join", "posixpath.join"})
ENVIRONMENT = frozenset({"os.environ", "os.environ.get", "os.getenv", "environ", "environ.get", "getenv"})
LOOPS = (ast.For, ast.While, ast.AsyncFor)


@dataclass(frozen=True)
class Place:
    """A path as far as it is literal. `whole`: nothing follows that is only known when it runs."""

    text: str = ""
    whole: bool = True
    env: bool = False  # it is taken from OUTLAST_CHECKPOINT_DIR
    flag: str = ""  # the script's own option that changes it

    @property
    def folder(self) -> str:
        """Of a file's path, or of a name whose end is open."""
        return self.text.rpartition("/")[0]


@dataclass(frozen=True)
class Flag:
    """An option of the script's own command line."""

    flag: str
    default: ast.expr | None
    takes_value: bool


@dataclass(frozen=True)
class Call:
    """`name` is dotted, as imported; of a method on some object only `.method` is known."""

    name: str
    node: ast.Call
    file: str
    line: int
    in_loop: bool

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    def keyword(self, name: str) -> ast.expr | None:
        return next((word.value for word in self.node.keywords if word.arg == name), None)

    def argument(self, at: int, name: str) -> ast.expr | None:
        if (found := self.keyword(name)) is not None:
            return found
        return self.node.args[at] if at < len(self.node.args) else None


@dataclass
class Script:
    """One file. `imports` maps the names in it to what they stand for."""

    file: str
    tree: ast.Module
    imports: dict[str, str] = field(default_factory=dict)
    modules: dict[str, int] = field(default_factory=dict)  # dotted, with everything imported from it → line
    values: dict[str, ast.expr] = field(default_factory=dict)  # names that are bound exactly once
    flags: dict[str, Flag] = field(default_factory=dict)  # by the attribute that holds it
    calls: list[Call] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)  # string literals → line

    def __post_init__(self) -> None:
        bound: dict[str, int] = {}
        for node in ast.walk(self.tree):
            self._import(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.texts.setdefault(node.value, node.lineno)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                bound[name] = bound.get(name, 0) + 1
                self.values[name] = node.value
        self.values = {name: value for name, value in self.values.items() if bound[name] == 1}
        self.calls = list(self._calls(self.tree, in_loop=False))
        for call in self.calls:
            self._flag(call)

    def _import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.modules.setdefault(alias.name, node.lineno)
                self.imports[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            self.modules.setdefault(node.module, node.lineno)
            for alias in node.names:
                self.modules.setdefault(f"{node.module}.{alias.name}", node.lineno)
                self.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _calls(self, node: ast.AST, *, in_loop: bool) -> Iterator[Call]:
        for child in ast.iter_child_nodes(node):
            inside = in_loop or isinstance(child, LOOPS)
            if isinstance(child, ast.Call):
                yield Call(self.dotted(child.func), child, self.file, child.lineno, inside)
            yield from self._calls(child, in_loop=inside)

    def _flag(self, call: Call) -> None:
        """`add_argument("--output_dir", default=…)`, also with several spellings."""
        if call.last != "add_argument":
            return
        words = [a.value for a in call.node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        flag = next((word for word in words if word.startswith("--")), "")
        if not flag:
            return
        given = call.keyword("dest")
        dest = given.value if isinstance(given, ast.Constant) else flag.lstrip("-").replace("-", "_")
        action = call.keyword("action")
        takes_value = not isinstance(action, ast.Constant) or action.value in ("store", "append", "extend")
        self.flags[str(dest)] = Flag(flag, call.keyword("default"), takes_value)

    def dotted(self, node: ast.expr) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            known = self.imports.get(node.id)
            if known is None and parts:
                return "." + parts[0]  # a method of some object
            parts.append(known or node.id)
        elif parts:
            return "." + parts[0]
        return ".".join(reversed(parts))

    def imports_any(self, *names: str) -> int:
        """The line of the first import of any of these packages; 0: none."""
        heads = tuple(f"{name}." for name in names)
        return min(
            (line for module, line in self.modules.items() if f"{module}.".startswith(heads)), default=0
        )

    def place(self, node: ast.expr | None, depth: int = 0) -> Place | None:
        """Where a path leads, as far as it can be read; None: nothing can."""
        if node is None or depth > DEPTH_MAX:
            return None
        if isinstance(node, ast.Constant):
            return Place(node.value) if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            return self._joined_text(node, depth)
        if isinstance(node, ast.Name) and node.id in self.values:
            return self.place(self.values[node.id], depth + 1)
        if isinstance(node, ast.Attribute) and node.attr in self.flags:
            flag = self.flags[node.attr]
            default = self.place(flag.default, depth + 1) or Place("", whole=False)
            return Place(default.text, default.whole, default.env, flag.flag)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
            between = "/" if isinstance(node.op, ast.Div) else ""
            return self._joined([node.left, node.right], between, depth)
        if isinstance(node, ast.BoolOp):
            places = (self.place(value, depth + 1) for value in node.values)
            return next((place for place in places if place is not None), None)
        if isinstance(node, ast.Subscript) and self.dotted(node.value) in ENVIRONMENT:
            return self._environment(node.slice, None, depth)
        return self._called(node, depth) if isinstance(node, ast.Call) else None

    def _called(self, node: ast.Call, depth: int) -> Place | None:
        name = self.dotted(node.func)
        if name in ENVIRONMENT and node.args:
            return self._environment(node.args[0], node.args[1] if len(node.args) > 1 else None, depth)
        if name in JOINS or (name in PATHS and len(node.args) > 1):
            return self._joined(node.args, "/", depth)
        return self.place(node.args[0], depth + 1) if name in PATHS and node.args else None

    def _environment(self, name: ast.expr, default: ast.expr | None, depth: int) -> Place | None:
        if isinstance(name, ast.Constant) and name.value == CHECKPOINT_DIR:
            return Place("", whole=False, env=True)
        return self.place(default, depth + 1)

    def _joined_text(self, node: ast.JoinedStr, depth: int) -> Place | None:
        parts = [p.value if isinstance(p, ast.FormattedValue) else p for p in node.values]
        return self._joined(parts, "", depth)

    def _joined(self, nodes: list[ast.expr], between: str, depth: int) -> Place | None:
        first = self.place(nodes[0], depth + 1)
        if first is None:
            return None
        text, whole = first.text, first.whole
        for node in nodes[1:]:
            if not whole:
                break
            part = self.place(node, depth + 1)
            text += between + (part.text if part is not None else "")
            whole = part is not None and part.whole
        return Place(text, whole, first.env, first.flag)
