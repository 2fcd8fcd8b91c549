"""Where text goes: what was asked for to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer

from outlast_orchestrator.cli.words import one_line


def result(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def say(text: str) -> None:
    typer.echo(_printable(text))


def note(text: str) -> None:
    """Beside the result: what is going on, or went wrong."""
    typer.echo(_printable(text), err=True)


def _printable(text: str) -> str:
    """What came from a node, a bucket or a server may hold anything; the lines stay lines."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def raw(body: bytes) -> None:
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
