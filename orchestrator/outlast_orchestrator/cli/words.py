"""Numbers as people read them: ages, sizes, money. Pure."""

from __future__ import annotations

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def one_line(text: str) -> str:
    """What came from a node may hold anything, and a terminal would obey some of it."""
    return "".join(c if c.isprintable() else " " for c in text)


def age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    whole = int(max(0.0, seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < 10 * MINUTE_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02d} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02d} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S:02d} h"


def ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{age(seconds)} ago"


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def usd(amount: float | None) -> str:
    if amount is None:
        return "-"
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def price(usd_h: float) -> str:
    return f"${usd_h:.4f}/h" if usd_h < 1 else f"${usd_h:.2f}/h"
