"""Compare: the same media under several collections side by side; what is chosen, and its table."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs.lesson_computation import lesson_of
from engine.storage.columns import last_change
from pages.ui import frame, resources, waiting
from pages.ui.gap import side_table, widths
from pages.ui.gap.address import Controls, say_refused
from pages.ui.gap.shown import Shown
from pages.ui.glossary import caption
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.lessons.compare import Comparison, SharedPairs
    from engine.lessons.recalls import Recalls
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace

KEY = "compare_collections"
_SEED, _LAST_SEED = "compare_seed", 999
CONTROLS = Controls(
    (KEY, _SEED, widths.COLLECTION, widths.BETWEEN), ranges={_SEED: (0, _LAST_SEED)}, many=(KEY,)
)
_RANKS = (
    "Cosines are not comparable from one model to another: a training asks only that a match lies higher "
    "than what is no match, by how much its temperature decides, and adding the same to all cosines across "
    "changes neither its loss nor its order. So each model has a scale of its own. L2M is made of cosines: a "
    "larger one in another column need not be a wider gap. Ranks are comparable, and recall counts them; so "
    "is RMG, a ratio of distances within one space."
)


def draw(workspace: Workspace) -> Shown | None:
    """Ask for collections, draw them side by side, and one of them at smaller widths and precisions."""
    infos = {info.name: info for info in workspace.store.collections() if len(widths.there(info)) > 1}
    if not infos:
        st.info("This needs two kinds of items that belong together, such as pictures with captions.")
        return None
    chosen = _chosen(workspace, infos)
    found = _computed(workspace, infos, chosen) if len(chosen) > 1 else None
    if found is not None:
        _table(found)
        for words in _told(found):
            st.markdown(plain(words))
        for one in found.chosen:
            if one.training:
                st.warning(plain(f"{one.collection}: {one.training} This comparison is not a fair one."))
        st.markdown(plain(_RANKS))
        caption(_about(found))
    kept = widths.draw(workspace, infos)
    if found is None and kept is None:
        return None
    names = dict.fromkeys([*(chosen if found else ()), *((kept.collection,) if kept else ())])
    numbers = (_numbers(found) if found else {}) | (widths.numbers(kept) if kept else {})
    return Shown(tuple(names), found.seed if found else kept.seed if kept else None, numbers)


def _chosen(workspace: Workspace, infos: dict[str, CollectionInfo]) -> list[str]:
    """Ask for two or more collections; say what of the address there is not, or what else is missing."""
    from engine.lessons.compare import MOST_COLLECTIONS

    if gone := [name for name in st.query_params.get_all(KEY) if name and name not in infos]:
        listed = ", ".join(map(repr, gone))
        st.warning(
            plain(f"The address asks for {listed}, which has no two kinds of items here; it is left out.")
        )
    if len(infos) == 1:
        st.info(f"To compare takes two collections, and here {plain(next(iter(infos)))} alone has two kinds.")
        _how()
        return []
    default = resources.most_shared(
        workspace, tuple(infos), tuple(last_change(workspace.folder, name) for name in infos)
    )
    chosen = st.multiselect(
        "Collections of the same media",
        list(infos),
        default=list(default),
        key=KEY,
        bind="query-params",
        max_selections=MOST_COLLECTIONS,
        help="An item is the same where its content is. The first one is what the others are held against.",
    )
    if not default:
        st.info("No two collections here hold the same media.")
        _how()
    if len(chosen) < 2:
        st.info("Choose two or more collections to see them side by side.")
    return chosen


def _how() -> None:
    st.caption("Re-embed a collection with another model in the Library, into a new one, to compare the two.")
    st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")


def _computed(workspace: Workspace, infos: dict[str, CollectionInfo], chosen: list[str]) -> Comparison | None:
    from engine.lessons.compare import compare

    seed = _seed()
    changes = tuple((name, last_change(workspace.folder, name)) for name in chosen)
    task = lesson_of(
        workspace,
        chosen[0],
        ("compare", changes, seed),
        lambda folder, _, watch: compare(folder, chosen, seed=seed, watch=watch),
        title="Comparing the collections",
        quick=sum(infos[name].total for name in chosen) <= widths.QUICK_ITEMS,
    )
    found = waiting.results([task], label=task.title, key="compare_compute")
    return None if found is None else found[0]


def _seed() -> int:
    """Ask which pairs are drawn, of more than are measured, and with which resampling the intervals."""
    say_refused(CONTROLS.ranges, {})
    words = "Of the pairs that are drawn where there are many, and of the resampling behind the intervals."
    seed = st.number_input("Seed", 0, _LAST_SEED, 0, key=_SEED, bind="query-params", width=140, help=words)
    return int(seed or 0)


def _table(found: Comparison) -> None:
    """Draw a row per measure and a column per collection."""
    facts = [
        ("model", [escape(one.model) for one in found.chosen]),
        ("revision", [escape(one.revision[:12]) for one in found.chosen]),
        ("dimensions", [f"{one.dim:,}" for one in found.chosen]),
        ("items", [f"{one.items:,}" for one in found.chosen]),
        ("items that are not in all of these", [f"{one.unshared:,}" for one in found.chosen]),
    ]
    parts = [
        (f"{plural(one.a)} and {plural(one.b)}, the same {one.n:,} pairs".capitalize(), _measures(one))
        for one in found.pairs
    ]
    side_table.table(["", *(escape(one.collection) for one in found.chosen)], [("", facts), *parts])


def _measures(pairs: SharedPairs) -> Iterator[tuple[str, list[str]]]:
    first = pairs.measured[0].collection
    yield "L2M, distance of the centroids", [side_table.number(one.l2m) for one in pairs.measured]
    yield "RMG, pairs against items of one modality", [side_table.number(one.rmg) for one in pairs.measured]
    for words, side in _sides(pairs):
        for k in side[0].hits:
            name = f"R@{k}, {words} (chance {min(1.0, k / pairs.n):.1%})"
            yield name, [side_table.percent(one.hits[k]) for one in side]
        for k in side[0].hits:
            yield f"R@{k}, {words}: minus that of {first}", [side_table.change(one, k) for one in side]


def _sides(pairs: SharedPairs) -> list[tuple[str, list[Recalls]]]:
    a, b = plural(pairs.a), plural(pairs.b)
    both = [one.a_to_b for one in pairs.measured], [one.b_to_a for one in pairs.measured]
    return [(f"{a} to {b}", both[0]), (f"{b} to {a}", both[1])]


def _told(found: Comparison) -> Iterator[str]:
    """Yield in words which collections find more than the first, less, or no different that can be told."""
    first, *others = (one.collection for one in found.chosen)
    for pairs in found.pairs:
        for words, (_, *side) in _sides(pairs):
            said = [_less_or_more(name, one) for name, one in zip(others, side, strict=True)]
            yield f"R@1, {words}, against {first}: {'; '.join(said)}."


def _less_or_more(name: str, one: Recalls) -> str:
    found = one.changes[1]
    if found.low <= 0 <= found.high:
        return f"{name} cannot be told from it"
    return f"{name} finds {100 * abs(found.mean):.1f} points {'more' if found.mean > 0 else 'less'}"


def _about(found: Comparison) -> str:
    """Return what all of it was computed from."""
    facts = [f"{found.shared:,} items are in all of these collections."]
    for one in found.pairs:
        few = "" if one.n == one.there else f" of {one.there:,}, drawn by seed {found.seed}"
        facts.append(
            f"{plural(one.a)} and {plural(one.b)}: n = {one.n:,} shared pairs{few}; {one.questions:,} "
            f"questions each way, each among all {one.n:,}."
        )
    facts.append(
        f"Intervals are bootstraps of 95 %, seed {found.seed}: of pairs for L2M and RMG, of questions for "
        f"recall, of the same questions (paired) for differences."
    )
    facts += [f"Not measured: {why}." for why in found.left_out]
    return " ".join([*facts, *found.notes])


def _numbers(found: Comparison) -> dict[str, float | int | str | None]:
    """Return the numbers that were shown, by collection and what they are."""
    numbers: dict[str, float | int | str | None] = {"shared items": found.shared}
    for one in found.chosen:
        numbers |= {f"{one.collection}: {name}": value for name, value in asdict(one).items()}
    for pairs in found.pairs:
        of = f"{plural(pairs.a)} and {plural(pairs.b)}"
        numbers[f"{of}: n"] = pairs.n
        for place, measured in enumerate(pairs.measured):
            name = measured.collection
            numbers |= {f"{name}: {of}: L2M": measured.l2m.mean, f"{name}: {of}: RMG": measured.rmg.mean}
            for words, side in _sides(pairs):
                numbers |= {f"{name}: R@{k} {words}": hit.mean for k, hit in side[place].hits.items()}
    return numbers
