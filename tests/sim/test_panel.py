"""The panel passes each fact only to the checkers that look at its kind: none of them may miss one."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import get_args

import pytest
from tests.sim.made_up import stored

from outlast_orchestrator.simulate.checkers.base import Checker, Panel
from outlast_orchestrator.simulate.checkers.registry import all_checkers
from outlast_orchestrator.simulate.history import Fact, MachineEnded

KINDS = {kind.__name__ for kind in get_args(Fact)}
CHECKERS = all_checkers({}, {}, lambda _machine: 0.0, 1.0)


def _named(checker: type[Checker]) -> set[str]:
    """The kinds that its code asks for."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(checker)))
    return {
        name.id
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "isinstance"
        for name in ast.walk(call.args[1])
        if isinstance(name, ast.Name) and name.id in KINDS
    }


@pytest.mark.parametrize("checker", [type(one) for one in CHECKERS], ids=lambda kind: kind.__name__)
def test_a_checker_says_which_kinds_it_looks_at(checker: type[Checker]) -> None:
    assert {kind.__name__ for kind in checker.sees} == _named(checker)
    assert bool(checker.sees) == (checker.saw is not Checker.saw)
    assert checker.sees or checker.moved is not Checker.moved, "it looks at nothing"


def test_the_panel_passes_what_is_looked_at_and_nothing_else() -> None:
    class Ends(Checker):
        sees = (MachineEnded,)

        def saw(self, fact: Fact) -> None:
            self.broken(type(fact).__name__)

    ends = Ends()
    panel = Panel([ends])
    panel.see(1.0, stored())
    panel.see(2.0, MachineEnded("i-1", "reclaimed"))
    assert [(one.at_s, one.text) for one in ends.violations] == [(2.0, "MachineEnded")]
