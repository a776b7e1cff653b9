"""Words that lessons share: what was computed from what, and what a model had seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pages.ui.wording import plural

if TYPE_CHECKING:
    from engine.lessons.pairs import Pairs


def learned(pairs: Pairs) -> str:
    """Return that a model was trained on some of these very pairs, "" for one that was not."""
    return ", pairs it was trained on among them" if pairs.model.startswith("towers:") else ""


def about(pairs: Pairs, *more: str) -> str:
    """Return what an answer was computed from: n, collection, model, seed, and more of the kind."""
    drawn = "" if len(pairs) == pairs.there else f" of {pairs.there:,}, drawn by seed {pairs.seed}"
    facts = [
        f"n = {len(pairs):,} pairs of {plural(pairs.a)} and {plural(pairs.b)}{drawn}",
        f"collection {pairs.collection}",
        f"model {pairs.model}",
        *more,
    ]
    return f"{', '.join(facts)}. {' '.join(pairs.notes)}".strip()
