"""Which hits are copies of a better one, by the cosine of their vectors, and the list without them; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.errors import QueryError
from engine.storage.conditions import as_number
from engine.types import Hit, Modality, VectorTable

EXACT = 0.99999  # of equal vectors; float32 leaves less than 1e-6 of doubt
LEAST = 0.5


def copy_cosine(written: str) -> float:
    """Return the cosine from which on two are copies: "exact", or a number. Raises QueryError."""
    if written.strip().lower() == "exact":
        return EXACT
    number = as_number(written)
    if number is None or not LEAST <= number <= 1:
        raise QueryError(
            f"Copies are hidden by 'exact', or by a cosine from {LEAST} to 1 as 0.95, not {written[:40]!r}."
        )
    return min(float(number), EXACT)


def hide_copies(
    hits: Sequence[Hit], tables: Mapping[Modality, VectorTable], cosine: float
) -> tuple[tuple[Hit, ...], dict[str, tuple[Hit, ...]]]:
    """Return the hits that are no copies, ranked anew from 1, and the copies by the id that they repeat.

    A hit is a copy of the best one before it, of its own modality and no copy itself, that has at least this
    cosine with it; it carries that one's rank. tables: the vectors (n, d) float32 of the hits, of unit
    length; a hit without one is no copy.
    """
    of = _repeats(hits, tables, cosine)
    shown = tuple(
        hit.ranked(rank) for rank, hit in enumerate((hit for hit in hits if hit.item.id not in of), 1)
    )
    rank = {hit.item.id: hit.rank for hit in shown}
    copies: dict[str, tuple[Hit, ...]] = {}
    for hit in hits:
        if better := of.get(hit.item.id):
            copies[better] = (*copies.get(better, ()), hit.ranked(rank[better]))
    return shown, copies


def note(copies: Mapping[str, Sequence[Hit]], cosine: float) -> str:
    """Return in words how many copies were hidden; empty where none was."""
    count = sum(map(len, copies.values()))
    if not count:
        return ""
    how = "equal vectors" if cosine >= EXACT else f"a cosine of {cosine:g} or more"
    return f"{count:,} {'copy' if count == 1 else 'copies'} of better hits hidden ({how})."


def _repeats(hits: Sequence[Hit], tables: Mapping[Modality, VectorTable], cosine: float) -> dict[str, str]:
    """Return for every copy the id of the hit that it repeats."""
    of: dict[str, str] = {}
    for modality, table in tables.items():
        known = set(table.ids)
        ids = [hit.item.id for hit in hits if hit.item.modality == modality and hit.item.id in known]
        vectors = table.take(ids).vectors
        near = vectors @ vectors.T >= cosine if ids else np.zeros((0, 0), bool)  # (n, n)
        first = np.ones(len(ids), bool)  # those that are no copies
        for row in range(len(ids)):
            better = np.flatnonzero(near[row, :row] & first[:row])
            if better.size:
                first[row], of[ids[row]] = False, ids[int(better[0])]
    return of
