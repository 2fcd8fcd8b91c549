"""The demo's report: one HTML file that needs nothing but a browser. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from outlast_orchestrator.demo.figures import Events, Figures, Spell
from outlast_orchestrator.demo.picture import loss_curve, table, timeline
from outlast_orchestrator.demo.watch import Line

SHOWN = (
    "interruptions",
    "noticed",
    "unnoticed",
    "controller_kills",
    "network_cuts",
    "relaunches_without_cause",
    "steps_lost_noticed",
    "steps_lost_unnoticed_max",
    "checkpoint_interval_steps",
    "bit_exact",
    "leaked_instances",
    "corrupt_resumes",
    "duration_s",
)
STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --paper: #ffffff; --rule: #e5e7eb; --pale: #6b7280 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e7eb; --paper: #111827; --rule: #374151; --pale: #9ca3af } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper) }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.verdict { font-size: 1.15rem; padding: .7rem 1rem; border-left: 5px solid #059669; background: #05966918 }
.verdict.bad { border-color: #dc2626; background: #dc262618 }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--rule) }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font: 12px system-ui, sans-serif }
.name { text-anchor: end } .tick { text-anchor: middle; fill: var(--pale) }
.grid { stroke: var(--rule) } .save { stroke: var(--ink); stroke-width: 1.5 }
.notice { fill: #d97706 } .death { stroke: #dc2626; stroke-width: 3; fill: none }
.spell { fill: #dc262622; stroke: #dc2626; stroke-dasharray: 4 4 }
.loss { fill: none; stroke-width: 1.6 } .key { color: var(--pale); font-size: .9rem }
"""


def render(
    result: Mapping[str, Any],
    figures: Figures,
    events: Events,
    track: Sequence[Line],
    spells: Sequence[Spell] = (),
) -> str:
    good = bool(result["passed"])
    exact = "bit for bit the same" if result["bit_exact"] else "NOT the same"
    verdict = (
        f"{result['interruptions']} machines were taken away, and the final weights are {exact} "
        "as those of a training that nobody disturbed."
    )
    rows = [{"figure": key.replace("_", " "), "value": result[key]} for key in SHOWN]
    attempts = [
        {
            "generation": a.generation,
            "machine": a.machine,
            "steps": f"{a.start_step + 1} to {a.last_step}",
            "end": a.taken or "by itself",
        }
        for a in figures.attempts
    ]
    recoveries = [
        {
            "from → to": f"{r.before} → {r.after}",
            "notice": "yes" if r.noticed else "no",
            "steps lost": r.steps_lost,
            "phases": ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in r.phases_s.items()),
        }
        for r in figures.recoveries
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Outlast demo</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>
<h1>Outlast demo</h1>
<p class="verdict{"" if good else " bad"}">{escape(verdict)}</p>
<h2>What happened</h2>{timeline(events, figures.attempts, spells)}
<p class="key">Pale: a machine gets ready. Full: it trains. Strokes: checkpoints that became durable.
Orange triangles: notices. Red crosses: deaths. Dashed: the controller was killed, the network was silent.</p>
<h2>Loss</h2>{loss_curve(track)}
<p class="key">A colour an attempt. Steps that were done twice lie exactly on each other.</p>
<h2>Figures</h2>{table(rows)}
<h2>Attempts</h2>{table(attempts)}
<h2>Recoveries</h2>{table(recoveries)}
<p class="key">sha256 of the final weights: interrupted {escape(str(result["sha256"]))},
undisturbed {escape(str(result["sha256_undisturbed"]))}</p>
</body></html>
"""
