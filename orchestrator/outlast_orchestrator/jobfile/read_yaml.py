"""Reads YAML into plain values with their line numbers; refuses what a job file never needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from outlast_orchestrator.core.errors import UserError

BYTES_MAX = 256 << 10
DEPTH_MAX = 12
NODES_MAX = 20_000
ALIASES_MAX = 16
MESSAGE_CHARS_MAX = 400

Path = tuple[str | int, ...]

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map")
)


@dataclass(frozen=True)
class Lines:
    """Where the keys of a file stand. `source` is what a person calls the file."""

    source: str
    of: dict[Path, int] = field(default_factory=dict)

    def error(self, path: Path, text: str) -> UserError:
        """A one-line error at the key, or at the nearest section around it that has a line."""
        key = ".".join(str(part) for part in path)
        message = _one_line(f"{key}: {text}" if key else text)
        line = self.line(path)
        return UserError(f"{self.source}:{line}: {message}" if line else f"{self.source}: {message}")

    def line(self, path: Path) -> int:
        while path and path not in self.of:
            path = path[:-1]
        return self.of.get(path, 0)


def _one_line(text: str) -> str:
    """What was typed is part of the message: it must not break the line, nor fill the screen."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= MESSAGE_CHARS_MAX else shown[:MESSAGE_CHARS_MAX] + "…"


def read_yaml(text: str, source: str, as_written: frozenset[str]) -> tuple[dict[str, Any], Lines]:
    """The mapping in `text`. Below the top-level keys `as_written`, scalars stay the text that was typed.

    So `env: {LR: 1e-4, DEBUG: yes}` reaches the job as "1e-4" and "yes". Raises UserError.
    """
    lines = Lines(source)
    try:
        _check_size(text, lines)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, source) from error
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not YAML: {_one_line(' '.join(str(error).split()))}") from error
    if node is None:
        raise UserError(f"{source}: is empty; write at least `run: python train.py`")
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise UserError(f"{source}: is {kind}; a job file holds keys, e.g. `run: python train.py`")
    reader = _Reader(lines, as_written)
    return reader.mapping(node, ()), lines


def _not_yaml(error: yaml.MarkedYAMLError, source: str) -> UserError:
    mark = error.problem_mark or error.context_mark
    where = f"{source}:{mark.line + 1}" if mark else source
    what = error.problem or error.context or "it can't be read"
    if "expected a single document" in (error.context or ""):
        what = "there is more than one document; take out the `---` between them"
    return UserError(f"{where}: not YAML: {_one_line(what)}; look at this line and the one before")


def _check_size(text: str, lines: Lines) -> None:
    """Bounds what composing will cost: depth (it recurses), size, and aliases (they multiply)."""
    depth = aliases = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        for found, limit, what in (
            (depth, DEPTH_MAX, "is nested too deeply"),
            (nodes, NODES_MAX, "is too long"),
            (aliases, ALIASES_MAX, "has too many aliases (*name)"),
        ):
            if found > limit:
                mark = event.start_mark
                where = f"{lines.source}:{mark.line + 1}" if mark else lines.source
                raise UserError(f"{where}: {what} for a job file")


class _Reader:
    """Turns nodes into values; counts them, because an alias may repeat a whole branch."""

    def __init__(self, lines: Lines, as_written: frozenset[str]) -> None:
        self._lines = lines
        self._as_written = as_written
        self._nodes = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{self._lines.source}:{line}: a key must be a word, not a list or a mapping")
            key = str(key_node.value)
            here = (*path, key)
            if key in values:
                first, self._lines.of[here] = self._lines.of[here], line
                raise self._lines.error(here, f"is there twice (first on line {first}); keep one of them")
            self._lines.of[here] = line
            values[key] = self._value(value_node, here)
        return values

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX or len(path) > DEPTH_MAX:
            raise self._lines.error(path[:1], "its aliases (*name) unfold into too much; write it out")
        if node.tag not in _PLAIN_TAGS:
            raise self._lines.error(path, f"the tag {node.tag} has no meaning in a job file; take it out")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._lines.of[(*path, number)] = item.start_mark.line + 1
            return [self._value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        if node.tag.endswith(":timestamp"):
            return str(node.value)
        if path[0] in self._as_written and len(path) > 1 and not node.tag.endswith(":null"):
            return str(node.value)
        try:
            return self._scalars.construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            raise self._lines.error(path, f"{node.value!r} can't be read; put quotes round it") from error
