"""Help is quick: it loads nothing that only some command needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from outlast_orchestrator.cli.main import app
from outlast_orchestrator.cli.quick_help import names_only

HEAVY = [
    "rich",
    "pydantic",
    "http",
    "httpx",
    "requests",
    "urllib3",
    "fastapi",
    "starlette",
    "uvicorn",
    "sqlmodel",
    "sqlalchemy",
    "alembic",
    "yaml",
    "zstandard",
    "obstore",
    "torch",
    "numpy",
    "boto3",
    "botocore",
    "google",
    "azure",
    "paramiko",
    "asyncio",
    "ssl",
]
LOOK = (
    "import atexit, json, sys\n"
    "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    "from outlast_orchestrator.cli.main import main\n"
    "sys.argv = json.loads(sys.argv[1])\n"
    "main()\n"
)


@pytest.mark.parametrize("words", [["--help"], ["submit", "--help"], ["frobnicate"]])
def test_help_and_usage_errors_load_nothing_heavy(words: list[str]) -> None:
    argv = json.dumps(["outlast", *words])
    done = subprocess.run(
        [sys.executable, "-c", LOOK, argv], capture_output=True, text=True, timeout=60, check=False
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "outlast_orchestrator" in loaded
    allowed = set() if words == ["--help"] else {"pydantic"}  # typer's own way to read values
    assert sorted(loaded & set(HEAVY) - allowed) == []


def test_the_first_page_of_help_is_the_same_without_the_options_of_every_command() -> None:
    def page(app: typer.Typer) -> str:
        command = typer.main.get_command(app)
        return command.get_help(command.make_context("outlast", [], resilient_parsing=True))

    assert page(names_only(app)) == page(app)
    assert "submit" in page(app)
