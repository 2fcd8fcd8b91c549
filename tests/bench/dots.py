"""Draws the phases of all recoveries as one SVG: a row a phase, a dot a run, the median, the limit. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from html import escape

from tests.bench.phases import CLOSED, KINDS, NOTICE, PHASES, SILENT, Phase, Recovery, spans_s

from outlast_orchestrator.demo.picture import Axis

WIDTH, LEFT, RIGHT, ROW, TOP, FOOT = 1100, 310, 170, 40, 84, 56
SHORTEST_S, LONGEST_S = 0.01, 60.0
TICKS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TONES = {NOTICE: "#d97706", CLOSED: "#2563eb", SILENT: "#7c3aed"}
NAMES = {NOTICE: "with notice", CLOSED: "death, connection closed", SILENT: "silent death"}
STYLE = """
svg { --ink: #1f2937; --paper: #ffffff; --rule: #e5e7eb; --pale: #6b7280; background: var(--paper) }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e5e7eb; --paper: #111827; --rule: #374151; --pale: #9ca3af } }
text { fill: var(--ink); font: 13px system-ui, sans-serif }
.title { font-size: 17px; font-weight: 600 } .name { text-anchor: end }
.tick { text-anchor: middle; fill: var(--pale) } .pale { fill: var(--pale) }
.grid { stroke: var(--rule) } .median { stroke: var(--ink); stroke-width: 2.5 }
.limit { stroke: #dc2626; stroke-width: 2; stroke-dasharray: 4 3 } .red { fill: #dc2626 }
"""
_X = Axis(math.log(SHORTEST_S), math.log(LONGEST_S), LEFT, WIDTH - RIGHT)


def x(seconds: float) -> float:
    return _X(math.log(min(max(seconds, SHORTEST_S), LONGEST_S)))


def p95_s(spans: Sequence[float]) -> float:
    """The smallest one that 95 % of all do not exceed."""
    return sorted(spans)[math.ceil(0.95 * len(spans)) - 1]


def draw(found: Sequence[Recovery], conditions: str) -> str:
    rows = [phase for phase in PHASES if spans_s(found, phase)]
    height = TOP + ROW * len(rows) + FOOT
    bottom = TOP + ROW * len(rows)
    parts = [_head(found, conditions), _grid(bottom)]
    parts += [_row(found, phase, TOP + ROW * number) for number, phase in enumerate(rows)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Recovery, phase by phase"><style>{STYLE}</style>' + "".join(parts) + "</svg>\n"
    )


def _head(found: Sequence[Recovery], conditions: str) -> str:
    parts = [
        '<text x="20" y="28" class="title">Recovery, phase by phase</text>',
        f'<text x="20" y="50" class="pale">{escape(conditions)}</text>',
    ]
    at = LEFT
    for kind in KINDS:
        count = sum(1 for one in found if one.interruption.kind == kind)
        parts.append(f'<circle cx="{at}" cy="24" r="5" fill="{TONES[kind]}"/>')
        parts.append(f'<text x="{at + 11}" y="29">{NAMES[kind]} ({count})</text>')
        at += 60 + 7 * len(NAMES[kind])
    return "".join(parts)


def _grid(bottom: int) -> str:
    parts = []
    for tick_s in TICKS_S:
        at = x(tick_s)
        parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP - 8}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{at}" y="{bottom + 20}" class="tick">{tick_s:g} s</text>')
    key = "bar: median · red line: limit of the median · logarithmic scale, shorter spans at its left end"
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{bottom + 44}" class="tick">{key}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 14}" y="{TOP - 12}" class="pale">median, p95</text>')
    return "".join(parts)


def _row(found: Sequence[Recovery], phase: Phase, y: int) -> str:
    spans, middle = spans_s(found, phase), y + ROW // 2
    median_s = statistics.median(spans)
    parts = [f'<text x="{LEFT - 14}" y="{middle + 5}" class="name">{_two_lines(phase.title, middle)}</text>']
    for number, one in enumerate(found):
        span_s = one.span_s(phase)
        if span_s is None:
            continue
        up = (number * 7 % 13 - 6) * 1.6  # beside each other, where many are alike
        parts.append(
            f'<circle cx="{x(span_s)}" cy="{middle + up:.1f}" r="3.4" opacity="0.65" '
            f'fill="{TONES[one.interruption.kind]}"><title>generation {one.interruption.generation} → '
            f"{one.after}: {span_s:.2f} s</title></circle>"
        )
    at = x(median_s)
    parts.append(f'<line x1="{at}" x2="{at}" y1="{y + 4}" y2="{y + ROW - 4}" class="median"/>')
    held = ""
    if phase.limit_s is not None:
        at = x(phase.limit_s)
        parts.append(f'<line x1="{at}" x2="{at}" y1="{y + 4}" y2="{y + ROW - 4}" class="limit"/>')
        held = "" if median_s <= phase.limit_s else ' class="red"'
    told = f"{_short(median_s)}, {_short(p95_s(spans))} s"
    parts.append(f'<text x="{WIDTH - RIGHT + 14}" y="{middle + 5}"{held}>{told}</text>')
    return "".join(parts)


def _two_lines(title: str, middle: int) -> str:
    if len(title) <= 44:
        return escape(title)
    begin, _, end = title.partition(" → ")
    return (
        f'<tspan x="{LEFT - 14}" y="{middle - 3}">{escape(begin)}</tspan>'
        f'<tspan x="{LEFT - 14}" y="{middle + 13}">→ {escape(end)}</tspan>'
    )


def _short(seconds: float) -> str:
    return f"{seconds:z.2f}" if abs(seconds) < 10 else f"{seconds:.1f}"
