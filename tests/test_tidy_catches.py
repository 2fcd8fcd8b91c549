"""Each house rule catches what it is there for, and lets pass what is right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.test_tidy import RULES, Module

CORE = "orchestrator/outlast_orchestrator/core/x.py"
WEB = "orchestrator/outlast_orchestrator/web/x.py"
CLI = "orchestrator/outlast_orchestrator/cli/x.py"
CONTROLLER = "orchestrator/outlast_orchestrator/controller/x.py"
LOCAL = "orchestrator/outlast_orchestrator/providers/local/x.py"
SIMULATE = "orchestrator/outlast_orchestrator/simulate/x.py"
AGENT = "agent/outlast/x.py"

CAUGHT = [
    ("size", AGENT, "x = 1\n" * 301),
    ("size", AGENT, "def f():\n" + "    x = 1\n" * 50),
    ("docstring", AGENT, "x = 1"),
    ("docstring", CORE, '"""What it does."""'),
    ("pure", CORE, '"""Does. Pure."""\nimport os'),
    ("name", "agent/outlast/utils.py", ""),
    ("name", "agent/outlast/helpers/x.py", ""),
    ("clock", AGENT, "import time\ntime.sleep(1)"),
    ("clock", AGENT, "from time import monotonic"),
    ("clock", AGENT, "import random"),
    ("clock", CONTROLLER, "from datetime import datetime\ndatetime.now()"),
    ("except", AGENT, "try:\n  f()\nexcept Exception:\n  g()"),
    ("except", AGENT, "try:\n  f()\nexcept:\n  g()"),
    ("except", AGENT, "try:\n  f()\nexcept OSError:\n  pass"),
    ("print", AGENT, "print(1)"),
    ("fake", "tests/x.py", "monkeypatch.setattr(a, 'b', c)"),
    ("unfinished", AGENT, "x = 1  # " + "TODO: more"),
    ("unfinished", AGENT, "f(shell=True)"),
    ("unfinished", AGENT, "x = '/" + "work/main'"),
    ("provider", CONTROLLER, "if cloud == 'aws': pass"),
    ("provider", CONTROLLER, "boto3.client('x')"),
    ("provider", CONTROLLER, "if cloud == 'local': pass"),
    ("import", CORE, "import pydantic"),
    ("import", CORE, "from outlast.bucket import pointer"),
    ("import", CORE, "from outlast_orchestrator.store import db"),
    ("import", CONTROLLER, "from outlast_orchestrator.store.db import SqlStore"),
    ("import", CONTROLLER, "from ..store import db"),
    ("import", WEB, "from outlast_orchestrator.controller import loop"),
    ("import", WEB, "import outlast.loop"),
    ("import", CLI, "from outlast_orchestrator import server"),
    ("import", LOCAL, "from outlast_orchestrator.providers.other import offers"),
    ("import", SIMULATE, "from outlast.clock import SystemRuntime"),
    ("import", AGENT, "import outlast_orchestrator"),
    ("import", AGENT, "import torch"),
    ("import", AGENT, "def f():\n  import json"),
]

FINE = [
    ("size", AGENT, "def f():\n" + "    x = 1\n" * 49),
    ("pure", CORE, '"""Does. Pure."""\nimport re'),
    ("clock", "agent/outlast/clock.py", "import time\ntime.sleep(1)"),
    ("clock", SIMULATE, "import random"),
    ("except", "agent/outlast/loop.py", "try:\n  f()\nexcept Exception:\n  g()"),
    ("except", AGENT, "try:\n  f()\nexcept BaseException:\n  g()\n  raise"),
    ("print", CLI, "print(1)"),
    ("provider", "orchestrator/outlast_orchestrator/server.py", "x = 'aws'"),
    ("provider", AGENT, '"""AWS advises 5 s."""'),
    ("import", CLI, "def f():\n  from outlast_orchestrator import server"),
    ("import", CORE, "from outlast.protocol.objects import Pointer"),
    ("import", LOCAL, "from outlast_orchestrator.providers.local import offers"),
    ("import", LOCAL, "from . import offers"),
    ("import", WEB, "from outlast_orchestrator.store import db"),
    ("import", "agent/outlast/checkpointer.py", "import torch"),
]


def _broken(rule: str, name: str, source: str) -> list[tuple[int, str]]:
    return list(RULES[rule](Module(Path(name), name, source, ast.parse(source))))


@pytest.mark.parametrize(("rule", "name", "source"), CAUGHT)
def test_it_is_caught(rule: str, name: str, source: str) -> None:
    assert _broken(rule, name, source)


@pytest.mark.parametrize(("rule", "name", "source"), FINE)
def test_it_is_let_pass(rule: str, name: str, source: str) -> None:
    assert _broken(rule, name, source) == []


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, _, _ in CAUGHT} == set(RULES)
