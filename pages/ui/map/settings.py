"""What the Map page is asked for: collection, projection, settings, colours, lines; all in the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from engine.maps.projection import MAX_NEIGHBOURS, Method, ProjectionSettings
from pages.ui.wording import plural

if TYPE_CHECKING:
    from engine.storage.chroma import CollectionInfo
    from engine.types import Modality

# A widget's value is in the address as it is shown; its name there is that of the command line.
METHODS = ("UMAP 2D", "UMAP 3D", "PCA 2D", "PCA along the gap")
GAP = METHODS[-1]
_ALSO = {"umap": METHODS[0], "pca": METHODS[2], "gap": GAP}  # as the command line says it
COLOURS = ("modality", "label", "cluster", "similarity", "media type")
LINES = ("none", "selected", "all")
COLUMN = "column "
NO_SECOND, OTHER_SEED, COLLECTION = "none", "another seed", "collection "
EVERYTHING = "all"


@dataclass(frozen=True)
class Choice:
    """What is to be shown. `beside` is a second map's collection and settings, None where there is none."""

    info: CollectionInfo
    settings: ProjectionSettings
    colour: str
    lines: str
    question: str
    beside: tuple[CollectionInfo, ProjectionSettings] | None
    min_cluster_size: int = 0
    plain: bool = False


def ask(infos: Mapping[str, CollectionInfo], columns_of: Callable[[CollectionInfo], Sequence[str]]) -> Choice:
    """Draw the choices and return them; stops the page where they cannot be had together.

    columns_of gives the names of what else items of a collection can be coloured by.
    """
    names = [name for name, info in infos.items() if info.total]
    if (method := st.query_params.get("method")) in _ALSO:
        st.query_params["method"] = _ALSO[method]
        st.rerun()  # or the widget, which reads its value but once, takes its default
    if (asked := st.query_params.get("collection")) and asked not in names:
        words = "is empty" if asked in infos else "does not exist here"
        st.warning(f"The collection in this address {words}; showing another one.")
    with st.container(horizontal=True, vertical_alignment="bottom", key="map_choices"):
        first = names.index("samples") if "samples" in names else 0
        name = st.selectbox(
            "Collection", names, index=first, key="collection", bind="query-params", width=150
        )
        method = st.selectbox("Projection", METHODS, key="method", bind="query-params", width=185)
        colour = st.selectbox(
            "Colour by",
            [*COLOURS, *(f"{COLUMN}{one}" for one in columns_of(infos[name]))],
            key="colour",
            bind="query-params",
            width=150,
            help="Similarity means cosine similarity to the question.",
        )
        lines = st.selectbox(
            "Pair lines",
            LINES,
            key="lines",
            bind="query-params",
            width=150,
            help="From each item to what belongs to it: a picture and its captions.",
        )
        info = infos[name]
        with st.popover("Settings", icon=":material/tune:"):
            settings = _settings(info, method)
            least = _least()
            plain = st.toggle(
                "Plain plot",
                key="plain",
                bind="query-params",
                help="Drawn by plotly in two dimensions: needs no WebGL2, and shows a sample of many points.",
            )
        with st.popover("Compare", icon=":material/compare:"):
            beside = _beside(infos, info, settings)
    question = st.text_input(
        "Where does a question land?",
        key="q",
        bind="query-params",
        placeholder="Where does a question land? Type words: a bee on a flower",
        max_chars=4096,
        icon=":material/search:",
        label_visibility="collapsed",
    )
    return Choice(info, settings, colour, lines, (question or "").strip(), beside, least, plain)


def present(info: CollectionInfo) -> list[Modality]:
    """Return the modalities that have items, those with the most first."""
    return sorted((one for one, count in info.counts.items() if count), key=lambda one: -info.counts[one])


def in_words(settings: ProjectionSettings, method: str) -> str:
    """Return how a map was fitted; method is what was used in the end."""
    if method == "pca":
        axis = settings.gap_axis
        words = f"PCA, {settings.dims} components"
        return f"{words}, the first from {axis[0]} to {axis[1]}" if axis else words
    words = (
        f"UMAP {settings.dims}D, n_neighbors {settings.n_neighbors}, min_dist {settings.min_dist:g}, "
        f"{settings.metric}, seed {settings.seed}"
    )
    return f"{words}, fitted on {plural(settings.fit_on)} alone" if settings.fit_on else words


def _settings(info: CollectionInfo, method: str) -> ProjectionSettings:
    umap, kinds = method.startswith("UMAP"), present(info)
    with st.form("map_settings", border=False):
        neighbours = st.number_input(
            "n_neighbors",
            2,
            MAX_NEIGHBOURS,
            15,
            key="n_neighbors",
            bind="query-params",
            disabled=not umap,
            help="Few: fine structure. Many: the big picture.",
        )
        distance = st.number_input(
            "min_dist",
            0.0,
            1.0,
            0.1,
            0.05,
            key="min_dist",
            bind="query-params",
            disabled=not umap,
            help="How close points may lie.",
        )
        seed = st.number_input(
            "seed",
            0,
            2**32 - 1,
            42,
            key="seed",
            bind="query-params",
            disabled=not umap,
            help="Another seed gives another map: what stays the same is in the data.",
        )
        fit_on = st.selectbox(
            "fit_on",
            [EVERYTHING, *kinds],
            key="fit_on",
            bind="query-params",
            format_func=lambda one: one if one == EVERYTHING else f"{plural(one)} alone",
            help="Fit all modalities together, or one alone and place the others among it.",
        )
        st.form_submit_button("Apply", icon=":material/check:")
    if method == GAP:
        if len(kinds) < 2:
            st.caption("One modality has no gap: this is a plain PCA.")
        return ProjectionSettings("pca", gap_axis=(kinds[0], kinds[1]) if len(kinds) > 1 else None)
    one = next((kind for kind in kinds if kind == fit_on), None)
    if not umap:
        return ProjectionSettings("pca", fit_on=one)
    return ProjectionSettings(
        "umap",
        3 if "3D" in method else 2,
        int(neighbours or 15),
        float(distance or 0),
        seed=int(seed or 0),
        fit_on=one,
    )


def _least() -> int:
    return st.number_input(
        "min_cluster_size",
        0,
        1_000,
        0,
        key="min_cluster_size",
        bind="query-params",
        help="The fewest items that make a cluster when the map is coloured by cluster; items in no cluster "
        "are noise. 0 or 1: chosen by the number of items.",
    )


def _beside(
    infos: Mapping[str, CollectionInfo], info: CollectionInfo, settings: ProjectionSettings
) -> tuple[CollectionInfo, ProjectionSettings] | None:
    others = [f"{COLLECTION}{name}" for name, one in infos.items() if one.total and name != info.name]
    options = [NO_SECOND, OTHER_SEED, *(one for one in METHODS if one != GAP), *others]
    asked = st.selectbox(
        "A second map beside it",
        options,
        key="beside",
        bind="query-params",
        help="What is selected on one is selected on both, by id. "
        "Another collection should hold the same files.",
    )
    return second(asked or NO_SECOND, infos, info, settings)


def second(
    asked: str, infos: Mapping[str, CollectionInfo], info: CollectionInfo, settings: ProjectionSettings
) -> tuple[CollectionInfo, ProjectionSettings] | None:
    """Return the collection and settings of the second map by what is called for."""
    if asked == NO_SECOND:
        return None
    if asked.startswith(COLLECTION):
        return infos[asked.removeprefix(COLLECTION)], replace(settings, gap_axis=None)
    if asked == OTHER_SEED:
        return info, replace(settings, method="umap", gap_axis=None, seed=(settings.seed + 1) % 2**32)
    method, dims = asked.split()
    by: Method = "umap" if method == "UMAP" else "pca"
    return info, replace(settings, method=by, dims=int(dims[0]), gap_axis=None)
