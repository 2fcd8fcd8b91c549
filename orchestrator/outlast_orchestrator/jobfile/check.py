"""Holds values against the schema and says in one line each what is wrong and how to mend it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from outlast_orchestrator.jobfile.schema import DURATIONS, KEYS, NODES_MAX, NOT_YET, SECTIONS, Spec

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    path: Path
    text: str


def check(values: Mapping[str, Any]) -> Spec | list[Problem]:
    """The spec, or everything that is wrong with `values`."""
    problems = _wrong_keys(values, ())
    if isinstance(values.get("nodes"), int) and values["nodes"] > NODES_MAX:
        problems.append(Problem(("nodes",), f"at most {NODES_MAX} machines can train one job together"))
    wrong = {problem.path for problem in problems}
    try:
        spec = Spec.model_validate(values)
    except ValidationError as error:
        problems += [
            Problem(path, _explain(details))
            for details in error.errors(include_url=False)
            if (path := _path(details)) not in wrong and details["type"] != "extra_forbidden"
        ]
        return problems
    return problems or spec


def _wrong_keys(values: Mapping[str, Any], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for name, value in values.items():
        here = (*path, name)
        key = ".".join(map(str, here))
        if key in NOT_YET:
            problems.append(Problem(here, f"not yet: this key comes with a later version; {NOT_YET[key]}"))
        elif key not in KEYS:
            problems.append(Problem(here, f"no such key; {_nearest(str(name), key)}"))
        elif key in SECTIONS and isinstance(value, Mapping):
            problems += _wrong_keys(value, here)
    return problems


def _nearest(name: str, key: str) -> str:
    section = key.rpartition(".")[0]
    siblings = [known for known in KEYS if known.rpartition(".")[0] == section]
    close = difflib.get_close_matches(key, siblings, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    by_last: dict[str, str] = {}
    for known in KEYS:  # the right word in the wrong section; a key nearer the top wins
        by_last.setdefault(known.rpartition(".")[2], known)
    close = difflib.get_close_matches(name, list(by_last), n=1, cutoff=0.75)
    if close:
        return f"did you mean {by_last[close[0]]}?"
    names = ", ".join(known.rpartition(".")[2] for known in siblings)
    return f"{section or 'a job file'} may hold {names}"


def _path(details: ErrorDetails) -> Path:
    return tuple(part for part in details["loc"] if part != "[key]")


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping (KEY: value)",
    "model_type": "a mapping (key: value)",
}


def _explain(details: ErrorDetails) -> str:
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing" or (found is None and details["loc"] == ("run",)):
        return "is missing; write the command that trains, e.g. `run: python train.py`"
    if kind == "value_error":
        return str(context["error"])
    if kind in _EXPECTED:
        if found is None and details["loc"][0] == "env":
            return f"has no value; write one here, or give it with -e {details['loc'][-1]}=…"
        return _wrong_type(kind, found, str(details["loc"][-1]))
    if kind == "finite_number":
        return "must be a finite number"
    if kind == "literal_error":
        return f"{found!r} is none of {context['expected']}"
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt"}
    words = {"ge": "at least", "le": "at most", "gt": "more than"}
    if kind in bounds:
        bound = bounds[kind]
        return f"{found} is out of range; write a number that is {words[bound]} {context[bound]}"
    return f"{str(found)[:40]!r} does not fit: {details['msg']}"


def _wrong_type(kind: str, found: Any, name: str) -> str:
    if found is None:
        return f"has no value; write {_EXPECTED[kind]}, or leave the key out"
    shown = {True: "true", False: "false"}[found] if isinstance(found, bool) else repr(found)[:40]
    if kind == "string_type" and isinstance(found, int | float):
        unit = " and give it a unit (30m)" if name in DURATIONS else ""
        return f"expected text, found {shown}; put quotes round it{unit}"
    return f"expected {_EXPECTED[kind]}, found {shown}"
