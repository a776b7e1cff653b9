"""How far a map can be believed, and the modality gap as the vectors have it: two tables that are not one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs import map_computations
from pages.ui import frame, glossary, waiting
from pages.ui.frame import errors
from pages.ui.map import sentences
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.evaluation.pair_gap import PairGap
    from engine.maps.drawn import DrawnMap
    from engine.maps.quality import MapQuality
    from engine.workspace import Workspace

K, SEED = 15, 0
_TOLD = ("L2M", "RMG", "separability", "purity")  # columns whose heads tell their meaning
NOT_THE_GAP = (
    "Distances on the map are not the gap: a map may draw one where there is none, or hide one. The gap is "
    "measured here from the vectors."
)


def draw_section(workspace: Workspace, drawn: DrawnMap, other: DrawnMap | None) -> None:
    """Draw the numbers of one map or two, and the gap; all tables where they were asked for."""
    both = [one for one in (drawn, other) if one is not None]

    @st.fragment
    def show() -> None:
        with errors():
            tasks = [map_computations.quality_of(workspace, one, K, SEED) for one in both]
            tasks.append(map_computations.gaps_of(workspace, drawn, K, SEED))
            measured = waiting.results(tasks, label="Measure the map and the gap", key="map_measure")
            if measured is None:
                glossary.caption(NOT_THE_GAP)
                return
            *found, gap = measured
            _say(found, gap, drawn.map.made_by.model)
            glossary.caption(NOT_THE_GAP)
            st.page_link(
                frame.GAP_LAB,
                label="Show me the gap",
                icon=":material/science:",
                query_params={"view": "See"},
            )
            with st.expander(
                "All numbers, and what they mean", icon=":material/straighten:", key="map_tables"
            ):
                _quality(both, found)
                st.divider()
                _gaps(gap, drawn.map.made_by.model)

    show()


def _say(found: list[MapQuality], gap: list[PairGap], model: str) -> None:
    """Say the numbers that matter most, those of two maps apart, then how they were measured."""
    sides = ("",) if len(found) == 1 else ("Left: ", "Right: ")
    said = [(side, one) for side, each in zip(sides, found, strict=True) for one in sentences.of_map(each)]
    if gap:
        largest = max(gap, key=lambda pair: min(pair.n_a, pair.n_b))
        said += [("", one) for one in sentences.of_gap(largest)]
    with st.container(horizontal=True, gap="medium", key="map_sentences"):
        for side, one in said:
            with st.container(width=270, gap=None):
                st.markdown(
                    plain(f"{side}{one.words}: ") + f"**{plain(one.number)}**", help=plain(one.meaning)
                )
                st.caption(plain(f"{one.direction} · {one.null}"))
    about = f"Model {model}, k = {found[0].k}, n = {found[0].n:,}, seed {SEED}"
    if found[0].sample < found[0].n:
        about += f", sample of {found[0].sample:,}"
    if gap:
        about += (
            f"; the gap on n = {largest.rows_a:,} {plural(largest.a)} and {largest.rows_b:,} "
            f"{plural(largest.b)}, in brackets 95 % intervals"
        )
    st.caption(plain(about))


def _quality(drawn: list[DrawnMap], found: list[MapQuality]) -> None:
    rows = []
    names = ["this map"] if len(found) == 1 else ["left", "right"]
    for label, _, values in _quality_rows(found):
        rows.append({"": label, **dict(zip(names, values, strict=True))})
    if not rows:
        st.info("Fewer than 3 items have no neighbours to preserve.")
        return
    st.dataframe(rows, hide_index=True, width="stretch")
    for one, name in zip(found, names, strict=True):
        which = f"{name}: " if len(found) > 1 else ""
        st.caption(
            plain(
                f"{which}k = {one.k}, n = {one.n:,}, sample of {one.sample:,} among {one.pool:,}, "
                f"seed {one.seed}, model {drawn[names.index(name)].map.made_by.model}. {one.note}"
            )
        )
    glossary.caption(
        "Trustworthiness falls where the map shows false neighbours, continuity where it tears true "
        "neighbours apart (1 is best). Overlap is the share of the k nearest in the original space that "
        "are among the k nearest on the map."
    )


def _quality_rows(found: list[MapQuality]) -> list[tuple[str, str, list[str]]]:
    def row(label: str, values: list[float | None]) -> tuple[str, str, list[str]]:
        return label, "", ["–" if value is None else f"{value:.3f}" for value in values]

    if all(one.trustworthiness is None for one in found):
        return []
    kinds = dict.fromkeys(kind for one in found for kind in one.overlap_by_modality or {})
    return [
        row("trustworthiness", [one.trustworthiness for one in found]),
        row("continuity", [one.continuity for one in found]),
        row("neighbour overlap, all", [one.overlap for one in found]),
        *(
            row(
                f"neighbour overlap, {plural(kind)}",
                [(one.overlap_by_modality or {}).get(kind) for one in found],
            )
            for kind in kinds
        ),
        row("neighbours of another modality, original space", [one.cross_modal_original for one in found]),
        row("neighbours of another modality, on the map", [one.cross_modal_map for one in found]),
        row("the same by chance", [one.cross_modal_chance for one in found]),
    ]


def _gaps(found: list[PairGap], model: str) -> None:
    rows = [
        {
            "between": f"{plural(one.a)} and {plural(one.b)}",
            "L2M": _number(one.l2m) + _interval(one, "l2m"),
            "L2M unbiased": _number(one.l2m_unbiased),
            "null p": "–" if one.null is None else f"{one.null.p:.3f}",
            "RMG": _number(one.rmg) + _interval(one, "rmg"),
            "separability": _number(one.separability) + _interval(one, "separability"),
            "purity": _number(one.purity) + _interval(one, "purity"),
            "purity if mixed": _number(one.purity_baseline),
            "n": f"{one.rows_a:,} + {one.rows_b:,}",
            "pairs": f"{one.pairs:,}",
        }
        for one in found
    ]
    if not found:
        st.info("One modality alone has no gap: add captions or texts to see one.")
        return
    told = {term: st.column_config.TextColumn(help=glossary.TERMS[term]) for term in _TOLD}
    st.dataframe(rows, hide_index=True, width="stretch", column_config=told)
    one = found[0]
    glossary.caption(
        f"Model {model}, k = {one.k}, seed {one.seed}, {one.permutations} permutations; null, separability "
        f"and purity on {one.sample_a:,} + {one.sample_b:,} items; in brackets 95 % intervals. L2M is the "
        "distance between the centroids (0 to 2); RMG, the relative modality gap, compares pairs with "
        "random rows (0.5: a pair is as far apart as those); separability is the held-out accuracy of a "
        "linear classifier of the modality; purity is the share of the k nearest neighbours that have an "
        "item's own modality."
    )
    for note in dict.fromkeys(note for one in found for note in one.notes):
        st.caption(plain(note))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _interval(found: PairGap, name: str) -> str:
    bounds = found.intervals.get(name)
    return "" if bounds is None else f" ({bounds[0]:.3f} to {bounds[1]:.3f})"
