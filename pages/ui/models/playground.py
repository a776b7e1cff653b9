"""The playground: a handful of texts and pictures, every pair compared, a reranker's scores beside it.

Text of strangers reaches HTML only through `escape`, widgets' labels through `plain`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import streamlit as st

from engine.errors import MediaError
from engine.models.base import ModelChoice, slowest_ingested
from engine.models.catalog import DEFAULT_MODEL
from pages.ui import figure, glossary
from pages.ui.frame import errors
from pages.ui.resources import sample_uri
from pages.ui.wording import plain, plural, say_error

if TYPE_CHECKING:
    from PIL.Image import Image
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from engine.models.playground import Entry, First, Matrix, Mode
    from engine.types import Modality
    from engine.workspace import Workspace

T = TypeVar("T")
MODES: dict[str, Mode] = {
    "Words against pictures": "words",
    "Everything": "everything",
}
_SIDE_PX = 1024  # of a picture as the models get it: more than any of them looks at in a handful
_NO_RERANKER = "none"
_UPLOAD_MB, _MAX_CHARS = 50, 20_000
_SLOW_SECONDS = 15.0  # what is compared without asking
_BESIDE = 8  # columns up to which two maps fit beside each other
_STYLE = """<style>
.st-key-play_cards {display: grid !important; gap: .8rem !important;
  grid-template-columns: repeat(auto-fill, minmax(92px, 1fr));}
.st-key-play_cards > [data-testid="stLayoutWrapper"],
.st-key-play_cards > [data-testid="stLayoutWrapper"] > div {width: 100% !important; min-width: 0;}
.st-key-play_cards img {width: 100%; aspect-ratio: 3/2; object-fit: cover; border-radius: .5rem;
  display: block;}
.st-key-play_cards label {font-size: .85rem; line-height: 1.3; overflow-wrap: anywhere;}
[class*="st-key-play_map_"] {overflow-x: auto;}
[class*="st-key-play_map_"] svg :is(.xtick, .ytick, .cbtitle, .hovertext) text {
  fill: currentColor !important;}
.gs-map {margin-bottom: -1rem;}
.gs-firsts > div {display: grid; grid-template-columns: 1.3rem 1fr; padding: .35rem 0; font-size: .9rem;
  line-height: 1.4; border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent);
  overflow-wrap: anywhere;}
.gs-firsts small {display: block; opacity: .75; font-size: .82rem; font-variant-numeric: tabular-nums;}
.gs-firsts .yes, .gs-firsts .no {font-weight: 700; color: #14a394;} .gs-firsts .no {color: #d97706;}
</style>"""
_YES = '<span class="yes" role="img" aria-label="right">✓</span>'
_NO = '<span class="no" role="img" aria-label="not right">✗</span>'


@dataclass(frozen=True)
class Offer:
    """A picture that can be switched on: its thumbnail for the page, and the way to its bytes."""

    id: str
    label: str
    uri: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Handful:
    """What is compared: the texts, the pictures that are on, and which asks for which."""

    texts: tuple[str, ...]
    offers: tuple[Offer, ...]
    mode: Mode

    def entries(self) -> list[Entry]:
        """Return the entries; of the pictures without their content, which takes time to open."""
        from engine.models.playground import Entry

        texts = [Entry(f"text {n}", text, "text", text) for n, text in enumerate(self.texts, start=1)]
        return [*texts, *(Entry(one.id, one.label, "image", None) for one in self.offers)]

    def sides(self) -> tuple[list[Entry], list[Entry]]:
        """Return what asks and what is asked for. Raises QueryError where that cannot be compared."""
        from engine.models.playground import sides

        return sides(self.entries(), self.mode)

    def opened(self, workspace: Workspace) -> list[Entry]:
        """Return the entries with their pictures open. Raises MediaError."""
        contents = {one.id: _opened(workspace, one.read()) for one in self.offers}
        return [replace(one, content=contents.get(one.id, one.content)) for one in self.entries()]

    def belongs(self) -> dict[str, str]:
        """Return text id -> picture id, for the texts of ours that belong to a picture."""
        from engine.models.playground import TEXTS

        named = {one.id: TEXTS.get(one.label) for one in self.entries() if one.modality == "text"}
        return {text: Path(picture).stem for text, picture in named.items() if picture}

    def key(self, choice: ModelChoice) -> str:
        """Return what changes whenever a comparison by this model would."""
        parts = (self.texts, [(one.id, one.label) for one in self.offers], self.mode, choice)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def draw(workspace: Workspace, embedders: list[ModelChoice], rerankers: list[ModelChoice]) -> None:
    """Draw the playground with the models that are loaded; a change redraws nothing else of the page."""
    ordered = sorted(embedders, key=lambda choice: (choice.id != DEFAULT_MODEL, choice.id))
    st.fragment(_draw)(workspace, ordered or [ModelChoice(DEFAULT_MODEL)], rerankers)


def _draw(workspace: Workspace, embedders: list[ModelChoice], rerankers: list[ModelChoice]) -> None:
    st.html(_STYLE)
    with errors():
        words, pictures = st.columns([2, 3], gap="large")
        with words:
            texts = _texts()
        with pictures:
            offers = _pictures(workspace)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            embedder = _chosen("Embedding model", _named(embedders), "play_embedder")
            reranker = _chosen("Reranker", {_NO_RERANKER: None, **_named(rerankers)}, "play_reranker")
            mode = st.segmented_control(
                "Compare",
                list(MODES),
                default=_before("play_mode", next(iter(MODES))),
                required=True,
                key="play_mode",
            )
        gone = st.session_state.pop("play_gone", "")
        if gone:
            st.info(plain(f"{gone} was unloaded; another choice took its place."))
        handful = Handful(tuple(texts), tuple(offers), MODES[_kept("play_mode", mode)])
        _results(workspace, handful, embedder or embedders[0], reranker)


def _texts() -> list[str]:
    """Draw the texts and return them, cleaned and each once."""
    from engine.models.playground import TEXTS
    from engine.text import MAX_QUERY_CHARS, clean_text

    first = _before("play_texts", "\n".join(TEXTS))
    typed = st.text_area("Texts, one per line", first, key="play_texts", height=230, max_chars=_MAX_CHARS)
    _kept("play_texts", typed)
    lines = [clean_text(line)[:MAX_QUERY_CHARS] for line in typed.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def _pictures(workspace: Workspace) -> list[Offer]:
    """Draw the pictures with a switch each, and the uploader; return those that are on."""
    cards = st.container(horizontal=True, gap="small", key="play_cards")
    given = st.file_uploader(
        "Your own pictures",
        accept_multiple_files=True,
        max_upload_size=_UPLOAD_MB,
        key="play_files",
        help="They are compared in memory and never stored.",
    )
    offers = {offer.id: offer for offer in [*_samples(), *_uploads(workspace, given)]}
    with cards:
        return [offer for offer in offers.values() if _card(offer)]


def _card(offer: Offer) -> bool:
    """Draw a picture with its switch; tell whether it is on."""
    with st.container(gap="xxsmall", key=f"play_card_{offer.id}"):
        st.html(f'<img src="{offer.uri}" alt="{escape(offer.label)}">')
        key = f"play_on_{offer.id}"
        return _kept(key, st.checkbox(plain(offer.label), _before(key, True), key=key))


def _samples() -> list[Offer]:
    from engine.ingest.samples import SAMPLE_DIR
    from engine.models.playground import PICTURES

    paths = [SAMPLE_DIR / name for name in PICTURES]
    return [
        Offer(path.stem, path.stem.replace("-", " "), sample_uri(str(path)), path.read_bytes)
        for path in paths
    ]


def _uploads(workspace: Workspace, given: Sequence[UploadedFile]) -> list[Offer]:
    """Return the uploaded pictures that can be read; says of every other file why not."""
    from engine.models.playground import MAX_ENTRIES
    from engine.text import clean_name

    if len(given) > MAX_ENTRIES:
        say_error(f"The first {MAX_ENTRIES} of {len(given):,} files are shown: a comparison takes no more.")
    known: dict[str, tuple[str, str]] = st.session_state.get("play_thumbnails", {})
    kept, offers = {}, []
    for file in given[:MAX_ENTRIES]:
        name = clean_name(file.name)
        id_, uri = kept[file.file_id] = known.get(file.file_id) or _looked_at(workspace, file)
        if uri.startswith("data:"):
            offers.append(Offer(id_, _cut(name, 40), uri, file.getvalue))
        else:
            say_error(f"{name}: {uri}")
    st.session_state.play_thumbnails = kept  # a few kilobytes each; what was taken away is forgotten
    return offers


def _looked_at(workspace: Workspace, file: UploadedFile) -> tuple[str, str]:
    """Return the hash of a file, and its thumbnail as a data URI or why it cannot be read."""
    from engine.media.images import thumbnail

    data = file.getvalue()
    id_ = hashlib.sha256(data).hexdigest()[:16]
    try:
        small = thumbnail(_opened(workspace, data))
    except MediaError as error:
        return id_, error.reason
    return id_, "data:image/webp;base64," + base64.b64encode(small).decode()


def _opened(workspace: Workspace, data: bytes) -> Image:
    """Return a picture as the models get it. Raises MediaError."""
    from engine.media.decoder import open_picture
    from engine.media.parts import Limits

    picture: Image = open_picture(data, Limits.of(workspace.settings, _SIDE_PX))
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    return picture


def _chosen(label: str, choices: dict[str, ModelChoice | None], key: str) -> ModelChoice | None:
    """Draw the choice of a model; one that was unloaded meanwhile is remembered to be told of."""
    names = list(choices)
    before = _before(key, names[0])
    if before not in choices:
        st.session_state.play_gone = before
        st.session_state.pop(key, None)
    place = names.index(before) if before in choices else 0
    return choices[_kept(key, st.selectbox(label, names, place, key=key, width=240))]


def _before(key: str, first: T) -> T:
    """Return what a widget held before another page was visited, or its first value.

    It goes into the widget as its default: what is set through the session state does not reach the
    browser where the other page ended by `st.stop` (Streamlit 1.67).
    """
    return st.session_state.get(f"{key}_kept", first)


def _kept(key: str, value: T) -> T:
    """Remember what a widget holds: Streamlit forgets it when another page is shown."""
    st.session_state[f"{key}_kept"] = value
    return value


def _named(choices: Sequence[ModelChoice]) -> dict[str, ModelChoice | None]:
    """Return name -> choice, order kept; two choices of the same name tell what differs."""
    names: dict[str, ModelChoice | None] = {}
    for choice in choices:
        name = _short(choice.id)
        if [_short(one.id) for one in choices].count(name) > 1:
            dim = f"{choice.dim} dimensions" if choice.dim else None
            differs = (choice.revision and choice.revision[:12], choice.dtype, dim)
            name = " · ".join([name, *(one for one in differs if one)])
        names[name if name not in names else f"{name} ({len(names) + 1})"] = choice
    return names


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _short(model: str) -> str:
    """Return what a page calls a model: a folder by its own name."""
    return Path(model).name if Path(model).is_absolute() else model


def _results(
    workspace: Workspace, handful: Handful, embedder: ModelChoice, reranker: ModelChoice | None
) -> None:
    """Draw the cosines, and beside them the reranker's scores, or what the cosines put first."""
    _, documents = handful.sides()
    wide = len(documents) > _BESIDE
    left, right = (st.container(), st.container()) if wide else st.columns(2, gap="large")
    cosines = None  # where the comparison fails, its error stands on the left
    with left, errors():
        cosines = _compared(workspace, handful, embedder, "cosines")
        if cosines:
            _cosines(cosines, handful, with_firsts=reranker is not None)
    with right, errors():
        if reranker:
            scores = _compared(workspace, handful, reranker, "scores")
            if scores:
                _scores(scores, handful)
        elif cosines:
            _firsts(cosines, handful)


def _compared(
    workspace: Workspace, handful: Handful, choice: ModelChoice, slot: Literal["cosines", "scores"]
) -> Matrix | None:
    """Return the comparison, made again only where something changed; None, with words, where it waits."""
    key = handful.key(choice)
    kept = st.session_state.get(f"play_{slot}")
    if kept and kept[0] == key:
        return kept[1]
    name = _short(choice.id)
    if choice.id != DEFAULT_MODEL and not workspace.models.loaded.is_loaded(
        workspace.models.loader.resolve(choice)
    ):
        st.info(plain(f"{name} is no longer loaded. Load it again, or choose another model."))
        return None
    if not _wanted(_seconds(workspace, handful, choice, slot), name, slot):
        return None
    with st.spinner(f"{plain(name)} is comparing …"):
        matrix = _compute(workspace, handful, choice, slot)
    st.session_state[f"play_{slot}"] = key, matrix
    return matrix


def _compute(workspace: Workspace, handful: Handful, choice: ModelChoice, slot: str) -> Matrix:
    from engine.models.playground import rerank_scores, similarity

    entries = handful.opened(workspace)
    if slot == "cosines":
        with workspace.models.embedder(choice) as model:
            return similarity(entries, model, handful.mode)
    with workspace.models.reranker(choice) as model:
        return rerank_scores(entries, model, handful.mode)


def _seconds(workspace: Workspace, handful: Handful, choice: ModelChoice, slot: str) -> float:
    """Return about how long a comparison takes, from what one item took when the model was loaded."""
    asked, documents = handful.sides()
    items = len(asked) * len(documents) if slot == "scores" else len(asked) + len(handful.entries())
    key = workspace.models.loader.resolve(choice).weights
    loaded = [model for model in workspace.models.loaded.list() if model.choice == key]
    return items * max((slowest_ingested(one.seconds_per_item) for one in loaded), default=0.0)


def _wanted(seconds: float, name: str, slot: str) -> bool:
    """Ask before a comparison that takes long here; tell whether to make it."""
    if seconds <= _SLOW_SECONDS:
        return True
    asking = st.empty()
    with asking.container():
        st.info(plain(f"{name} needs about {seconds:,.0f} seconds for this here; the page waits that long."))
        pressed = st.button("Compare", key=f"play_go_{slot}", icon=":material/play_arrow:")
    if pressed:
        asking.empty()
    return pressed


def _cosines(matrix: Matrix, handful: Handful, *, with_firsts: bool) -> None:
    from engine.models.playground import gap_of

    shown = matrix.without_texts() if handful.mode == "words" else matrix
    _map(shown, handful, title="Cosines", label="cosine", key="cosines")
    gap = gap_of(matrix, handful.belongs())
    if gap:
        st.text(str(gap))
    if with_firsts:
        _firsts(matrix, handful)


def _scores(matrix: Matrix, handful: Handful) -> None:
    _map(matrix, handful, title="Reranker", label="the reranker's own scale", key="scores")
    if matrix.read:
        glossary.caption("These scores share no scale with the cosines: compare the order, not the numbers.")
        _firsts(matrix, handful)


def _map(matrix: Matrix, handful: Handful, *, title: str, label: str, key: str) -> None:
    """Draw a heat map under its title; below the width its numbers need, it scrolls sideways."""
    from engine.figures.heat_map import heat_map, min_width_px

    name = _short(matrix.model)
    st.html(f'<div class="gs-map"><b>{title}</b> · {escape(name)}</div>')
    if matrix.read:
        box = f"play_map_{key}"
        st.html(f"<style>.st-key-{box} > div {{min-width: {min_width_px(matrix)}px}}</style>")
        with st.container(key=box):
            pictures = {one.id: one.uri for one in handful.offers}
            chart = heat_map(matrix, colour_label=label, pictures=pictures)
            figure.show(chart, key=f"play_chart_{key}", name=f"{key} by {matrix.model}")
    for note in matrix.notes:
        st.caption(plain(note.replace(matrix.model, name)))
    if matrix.read:
        st.caption(f"{_counted(matrix)} · {matrix.read:,} pairs")


def _counted(matrix: Matrix) -> str:
    """Return "7 texts against 5 pictures"."""
    rows, columns = (_kinds([one.modality for one in side]) for side in (matrix.rows, matrix.columns))
    return f"{rows}, each against all of them" if rows == columns else f"{rows} against {columns}"


def _kinds(modalities: Sequence[Modality]) -> str:
    counts = {one: modalities.count(one) for one in dict.fromkeys(modalities)}
    return " and ".join(
        f"{n} {plural(one) if n > 1 else plural(one).removesuffix('s')}" for one, n in counts.items()
    )


def _firsts(matrix: Matrix, handful: Handful) -> None:
    """List for each text the picture that comes first and by how much."""
    from engine.models.playground import firsts, right_firsts

    found = firsts(matrix, handful.belongs())
    if not found:
        return
    right, named = right_firsts(found)
    if named:
        st.html(f"<b>{right} of {named}</b> texts whose picture is here rank it first.")
    else:
        st.caption("It is not known which picture any of these texts belongs to: none counts as right.")
    st.html(f'<div class="gs-firsts" role="list">{"".join(_first(one) for one in found)}</div>')


def _first(one: First) -> str:
    mark = {True: _YES, False: _NO, None: "<span></span>"}[one.right]
    ahead = "" if one.margin is None else f", {one.margin:.2f} ahead of the next"
    if one.margin is not None and one.margin < 0.005:
        ahead = ", tied with the next"
    wanted = f"; belongs to {escape(one.named.label)}" if one.right is False and one.named else ""
    return (
        f'<div role="listitem">{mark}<div><bdi>{escape(_cut(one.text.label, 200))}</bdi>'
        f"<small>→ {escape(one.picture.label)} ({one.value:.2f}{ahead}){wanted}</small></div></div>"
    )
