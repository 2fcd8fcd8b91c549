"""Where text goes: what was asked for to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer


def result(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def say(text: str) -> None:
    typer.echo(text)


def note(text: str) -> None:
    """Beside the result: what is going on, or went wrong."""
    typer.echo(text, err=True)


def raw(body: bytes) -> None:
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
