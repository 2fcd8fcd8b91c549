"""Draws the demo's timeline and loss curve as SVG, self-contained. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from outlast_orchestrator.demo.figures import Attempt, Events, Spell
from outlast_orchestrator.demo.watch import Line

WIDTH, LEFT, RIGHT, LANE, TOP = 1000, 150, 40, 34, 40
COLOURS = ("#2563eb", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#b45309")


def colour(generation: int) -> str:
    return COLOURS[generation % len(COLOURS)]


class Axis:
    """Maps values of [low, high] to pixels of [start, end]."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, max(high, low + 1e-9), start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def timeline(events: Events, attempts: Sequence[Attempt], spells: Sequence[Spell] = ()) -> str:
    """One lane an attempt: getting ready (pale), training (full), saves, notices and deaths."""
    start_at = min((e["at"] for e in events), default=0.0)
    end_at = max((e["at"] for e in events), default=1.0)
    x = Axis(start_at, end_at, LEFT, WIDTH - RIGHT)
    height = TOP + LANE * max(1, len(attempts)) + 50
    parts = [_grid(x, start_at, end_at, height)]
    for row, attempt in enumerate(attempts):
        parts.append(_lane(events, attempt, x, TOP + row * LANE, end_at))
    parts += [_spell(spell, x, height) for spell in spells]
    return _svg(height, "Attempts over time", parts)


def _grid(x: Axis, start_at: float, end_at: float, height: int) -> str:
    parts = []
    for second in range(0, int(end_at - start_at) + 1, 10):
        at = x(start_at + second)
        parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP - 10}" y2="{height - 40}" class="grid"/>')
        parts.append(f'<text x="{at}" y="{height - 24}" class="tick">{second} s</text>')
    return "".join(parts)


def _at(events: Events, kind: str, attempt: Attempt) -> float | None:
    for event in events:
        same_launch = event["data"].get("launch") == attempt.launch and attempt.launch != ""
        if event["kind"] == kind and (event["attempt"] == attempt.generation or same_launch):
            return float(event["at"])
    return None


def _lane(events: Events, attempt: Attempt, x: Axis, y: int, end_at: float) -> str:
    tone, middle = colour(attempt.generation), y + 10
    begun = _at(events, "attempt.planned", attempt) or attempt.first_at or end_at
    gone = _at(events, "instance.gone", attempt)
    last = attempt.last_at or gone or end_at
    taken = f", {attempt.taken} loss" if attempt.taken else ""
    parts = [
        f'<text x="{LEFT - 10}" y="{y + 15}" class="name">generation {attempt.generation}</text>',
        _bar(x(begun), x(attempt.first_at or last), y, tone, 0.22, "getting ready"),
    ]
    if attempt.first_at is not None:
        what = f"steps {attempt.start_step + 1} to {attempt.last_step}{taken}"
        parts.append(_bar(x(attempt.first_at), x(last), y, tone, 0.85, what))
    for event in events:
        if event["attempt"] != attempt.generation:
            continue
        at = x(event["at"])
        if event["kind"] == "checkpoint.committed":
            parts.append(_mark(f"M{at} {y - 3}v26", "save", f"saved: {event['why']}"))
        if event["kind"] == "notice.seen":
            parts.append(_mark(f"M{at} {y - 8}l6 8h-12z", "notice", "notice"))
    if attempt.taken and gone is not None:
        at = x(gone)
        parts.append(_mark(f"M{at - 6} {middle - 6}l12 12m0 -12l-12 12", "death", "the machine is gone"))
    return "".join(parts)


def _bar(left: float, right: float, y: int, tone: str, opacity: float, what: str) -> str:
    wide = max(1.0, right - left)
    return (
        f'<rect x="{left}" y="{y}" width="{wide:.1f}" height="20" rx="3" fill="{tone}" '
        f'opacity="{opacity}"><title>{escape(what)}</title></rect>'
    )


def _mark(path: str, kind: str, what: str) -> str:
    return f'<path d="{path}" class="{kind}"><title>{escape(what)}</title></path>'


def _spell(spell: Spell, x: Axis, height: int) -> str:
    left, right = x(spell.begun_at), x(spell.ended_at)
    wide, tall, middle = max(1.0, right - left), height - TOP - 30, (left + right) / 2
    return (
        f'<rect x="{left}" y="{TOP - 10}" width="{wide:.1f}" height="{tall}" class="spell"/>'
        f'<text x="{middle:.1f}" y="{TOP - 16}" class="tick">{escape(spell.what)}</text>'
    )


def loss_curve(track: Sequence[Line]) -> str:
    """Loss over steps, a colour an attempt: redone steps lie exactly on the lost ones."""
    lines = [line for line in track if line.kind == "step" and line.loss is not None]
    if not lines:
        return ""
    height = 300
    x = Axis(0, max(line.step for line in lines), LEFT, WIDTH - RIGHT)
    losses = [line.loss for line in lines if line.loss is not None]
    y = Axis(min(losses), max(losses), height - 50, TOP)
    parts = []
    for generation in sorted({line.generation for line in lines}):
        points = " ".join(
            f"{x(line.step)},{y(line.loss)}"
            for line in lines
            if line.generation == generation and line.loss is not None
        )
        parts.append(f'<polyline points="{points}" class="loss" stroke="{colour(generation)}"/>')
    parts += [
        f'<text x="{LEFT - 10}" y="{y(value) + 4}" class="name">loss {value:.2f}</text>'
        for value in (min(losses), max(losses))
    ]
    last = max(line.step for line in lines)
    parts += [
        f'<text x="{x(step)}" y="{height - 24}" class="tick">step {step}</text>'
        for step in (0, last // 2, last)
    ]
    return _svg(height, "Loss over all attempts", parts)


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """An HTML table with the keys of the first row as its head."""
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{escape(str(key))}</th>" for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
