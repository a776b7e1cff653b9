"""The gap of two modalities as sentences: each number with what it means, its interval and what chance gives.

Nothing is measured here, and every number of the sentences is in the JSON of `gap` too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.analysis.gap_chance import Null
    from engine.evaluation.gap_edits import EditedGap
    from engine.evaluation.gap_retrieval import Retrieval
    from engine.evaluation.pair_gap import OfPairs, PairGap


def sentences(found: PairGap) -> list[str]:
    """Return the important numbers of one pair of modalities, a line each."""
    a, b = found.a, found.b
    lines = [f"{a} and {b}: {found.n_a:,} + {found.n_b:,} items, {found.pairs:,} pairs", _distance(found)]
    if found.rmg is not None:
        lines.append(
            f"RMG {found.rmg:.4f}{_interval(found, 'rmg')}: 0.5 where a pair is as far apart as two random "
            f"items of one modality, 0 where pairs coincide"
            + (f"; with shuffled partners {found.of_pairs.rmg_shuffled:.4f}" if found.of_pairs else "")
        )
    if found.separability is not None:
        lines.append(
            f"separability {found.separability:.4f}{_interval(found, 'separability', 'by Wilson')}: the "
            f"share of held-out vectors whose modality a linear classifier tells; 0.5 is guessing"
            f"{_p(found.null_separability)}"
        )
    if found.purity is not None:
        lines.append(
            f"purity {found.purity:.4f}{_interval(found, 'purity')}: the share of the {found.k} nearest "
            f"neighbours of the own modality; {found.purity_baseline:.4f} where modality does not matter"
            f"{_p(found.null_purity)}"
        )
    if found.cone_a is not None and found.cone_b is not None:
        lines.append(
            f"mean cosine {a}-{a} {found.cone_a:.4f}, {b}-{b} {found.cone_b:.4f}, {a}-{b} "
            f"{found.cosine_across:.4f}; a narrow cone is near 1"
        )
    if found.top_dims["3"] is not None:
        lines.append(f"3 dimensions carry {found.top_dims['3']:.0%} of the squared gap")
    if found.of_pairs is not None:
        lines += _pair_lines(found, found.of_pairs)
    lines += _missing(found.absent)
    lines += found.notes
    if (found.sample_a, found.sample_b) != (found.rows_a, found.rows_b):
        lines.append(
            f"nulls, separability, purity and hubs are over a sample of {found.sample_a:,} + "
            f"{found.sample_b:,} items"
        )
    return _indented(lines)


def _missing(absent: dict[str, str]) -> list[str]:
    """Return a line for each reason, with all the numbers it takes away; a lone interval is not missed."""
    names: dict[str, list[str]] = {}
    for name, reason in absent.items():
        if not name.startswith("intervals."):
            names.setdefault(reason, []).append("all that compares pairs" if name == "of_pairs" else name)
    return [f"not measured: {', '.join(some)} ({reason})" for reason, some in names.items()]


def _distance(found: PairGap) -> str:
    line = f"L2M {found.l2m:.4f}{_interval(found, 'l2m')}: the distance of the centroids, 0 to 2"
    if found.l2m_unbiased is not None:
        line += f"; {found.l2m_unbiased:.4f} without what a small sample adds"
    if found.null is not None:
        line += f"; with shuffled modalities {found.null.mean:.4f} on average{_p(found.null)}"
    return line


def _pair_lines(found: PairGap, pairs: OfPairs) -> list[str]:
    a, b = found.a, found.b
    return [
        f"mean cosine of a pair {pairs.cosine_paired:.4f}{_interval(found, 'cosine_paired')}, of no pair "
        f"{pairs.cosine_unpaired:.4f}{_p(pairs.null_partners)} with shuffled partners",
        f"crowding: two unrelated items are nearer than a true pair in {pairs.crowding_a:.1%}"
        f"{_interval(found, 'crowding_a')} of draws of {a}, {pairs.crowding_b:.1%}"
        f"{_interval(found, 'crowding_b')} of {b}; near 100% a search over both finds the own modality first",
        *(
            _retrieval(asked, answered, one)
            for asked, answered, one in ((a, b, pairs.a_to_b), (b, a, pairs.b_to_a))
            if one is not None
        ),
        f"hubs: skew of how often an item is in a top {found.hubs_a_to_b.k}, {a} asked for {b} "
        f"{_number(found.hubs_a_to_b.skew)}, {b} for {a} {_number(found.hubs_b_to_a.skew)}; 0 is even",
        f"contrastive loss {pairs.loss:.4f}{_interval(found, 'loss', 'by Student')} at temperature "
        f"{pairs.temperature:g}, batches of {pairs.batch}",
    ]


def _retrieval(asked: str, answered: str, one: Retrieval) -> str:
    return (
        f"{asked} asks for {answered}: the right one is first for {one.hits['1'].mean:.1%} "
        f"({one.hits['1'].low:.1%} to {one.hits['1'].high:.1%}), among ten for {one.hits['10'].mean:.1%}, "
        f"MRR {one.mrr.mean:.4f}, median rank {one.median_rank:g} of {one.candidates:,}; by chance "
        f"{one.chance_hits['1']:.1%} first, {one.questions:,} questions"
    )


def edit_sentences(change: EditedGap) -> list[str]:
    """Return what an edit does to held-out items of one pair of modalities, a line for each number."""
    before, after = change.before, change.after
    settings = {"shift": f" by {change.delta:g}", "drop-dims": f" ({change.dims} dimensions)"}
    setting = settings.get(change.edit, "")
    lines = [
        f"{before.a} and {before.b} after the edit {change.edit}{setting}: fitted on {change.fitted_a:,} + "
        f"{change.fitted_b:,} items, measured on {before.n_a:,} + {before.n_b:,} others, before -> after"
    ]
    for name, old, new in _readings(before, after):
        lines.append(f"{name} {_number(old)} -> {_number(new)}")
    return _indented(lines)


def _readings(before: PairGap, after: PairGap) -> list[tuple[str, float | None, float | None]]:
    rows: list[tuple[str, float | None, float | None]] = [
        ("L2M", before.l2m, after.l2m),
        ("RMG", before.rmg, after.rmg),
        ("separability", before.separability, after.separability),
        ("purity", before.purity, after.purity),
    ]
    old, new = before.of_pairs, after.of_pairs
    if old is not None and new is not None:
        directions = (
            (before.a, before.b, old.a_to_b, new.a_to_b),
            (before.b, before.a, old.b_to_a, new.b_to_a),
        )
        for asked, answered, was, now in directions:
            if was is not None and now is not None:
                rows.append((f"R@1 {asked} to {answered}", was.hits["1"].mean, now.hits["1"].mean))
        rows.append((f"crowding by {before.a}", old.crowding_a, new.crowding_a))
        rows.append((f"crowding by {before.b}", old.crowding_b, new.crowding_b))
    for asked, answered, was_hubs, now_hubs in (
        (before.a, before.b, before.hubs_a_to_b, after.hubs_a_to_b),
        (before.b, before.a, before.hubs_b_to_a, after.hubs_b_to_a),
    ):
        rows.append((f"skew of hubs {asked} to {answered}", was_hubs.skew, now_hubs.skew))
    return rows


def _interval(found: PairGap, name: str, by: str = "") -> str:
    bounds = found.intervals.get(name)
    how = by or f"of {found.resamples} resamples"
    return "" if bounds is None else f" (95% {how} {bounds[0]:.4f} to {bounds[1]:.4f})"


def _p(null: Null | None) -> str:
    if null is None:
        return ""
    return f", p = {null.p:.3f}" if null.p >= 0.0005 else ", p < 0.001"


def _indented(lines: list[str]) -> list[str]:
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
