"""Taking a view of the lab away as a file that opens it again, and a report of a collection's gap."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from engine.errors import ViewFileError
from engine.jobs.lesson_computation import lesson_of
from pages.ui import waiting
from pages.ui.figure import file_stem
from pages.ui.gap import change, compare, see, settings, training
from pages.ui.gap.lessons import walk
from pages.ui.gap.lessons.catalog import LESSONS
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.progress import Watch
    from engine.report.gap_report import GapReport
    from engine.report.view_file import Setting, ViewCollection, ViewFile
    from engine.storage.data_folder import DataFolder
    from engine.workspace import Workspace
    from pages.ui.gap.address import Controls
    from pages.ui.gap.shown import Shown

PAGE = "Gap lab"
_LESSONS, _TRAIN = "Lessons", "Train"
_VIEWS: dict[str, Callable[[], Controls]] = {
    "See": see.controls,
    "Change": lambda: change.CONTROLS,
    "Compare": lambda: compare.CONTROLS,
    _TRAIN: lambda: settings.CONTROLS,
}
_FILE = "take_file"
_SAID = "take_said"  # in the session: what is to be said of a file that was opened


def draw(workspace: Workspace, view: str, shown: Shown | None) -> None:
    """Offer what a view has shown as files, and to open such a file."""
    with st.popover("Take away", icon=":material/download:", key="take"):
        if shown is None:
            st.caption("What is shown here can be taken away as soon as it is there.")
        else:
            stem = file_stem(" ".join((PAGE, view, *shown.collections[:2])))
            st.download_button(
                "This view as JSON",
                partial(_file, workspace, view, shown, _asked(view, shown)),
                file_name=f"{stem}.json",
                mime="application/json",
                key="take_json",
                icon=":material/data_object:",
                help="Collections, settings, seed, numbers and versions; it opens this view again.",
                on_click="ignore",
            )
        _report(workspace, shown)
        st.file_uploader("Open a view", type="json", key=_FILE, on_change=_open, args=(workspace,))


def _report(workspace: Workspace, shown: Shown | None) -> None:
    """Offer a page on the gap of one of the collections that are shown, once it is made."""
    names = list(shown.collections if shown else ()) or settings.collections(workspace)
    if not names:
        return
    name = names[0]
    if len(names) > 1:
        name = st.selectbox("Report of", names, key="take_of") or name
    task = lesson_of(workspace, name, ("report",), _measured, title="Measuring for the report", quick=False)
    found = waiting.results([task], label=f"Make a report of {plain(name)}", key="take_make")
    if found is not None:
        st.download_button(
            "The report as HTML",
            partial(_page, found[0]),
            file_name=f"{file_stem(f'gap of {name}')}.html",
            mime="text/html",
            key="take_report",
            icon=":material/article:",
            help="One page that opens from a file without a network, of some 5 MB.",
            on_click="ignore",
        )


def _measured(folder: DataFolder, collection: str, watch: Watch) -> GapReport:
    from engine.report.gap_report import gap_report

    return gap_report(folder, collection, watch=watch)


def _page(report: GapReport) -> str:
    from engine.report.gap_page import to_html

    return to_html(report)


def say_opened() -> None:
    """Say what came of a file that was opened."""
    for error, words in st.session_state.pop(_SAID, ()):
        say_error(words) if error else st.warning(plain(words))


def _asked(view: str, shown: Shown) -> dict[str, Setting]:
    """Return how the controls of a view stand, also those that stand as they do at first."""
    found: dict[str, Setting] = dict(shown.settings)
    for name in _controls(view, found).names:
        value = found.get(name, st.session_state.get(name))
        if value is not None and value != "":
            found[name] = list(value) if isinstance(value, list | tuple) else value
    return found


def _controls(view: str, asked: Mapping[str, Any]) -> Controls:
    """Return the controls of a view, and of which lesson. Raises ViewFileError for one that is not here."""
    if view in _VIEWS:
        return _VIEWS[view]()
    number = asked.get("lesson")
    for lesson in LESSONS if view == _LESSONS else ():
        if isinstance(number, int) and lesson.number == number:
            return lesson.controls
    raise ViewFileError(f"is of a view that is not here: {view[:40]!r}, lesson {str(number)[:40]!r}.")


def _here(workspace: Workspace) -> dict[str, ViewCollection]:
    from engine.report.view_file import ViewCollection

    return {info.name: ViewCollection.of(info) for info in workspace.store.collections()}


def _file(workspace: Workspace, view: str, shown: Shown, asked: Mapping[str, Setting]) -> str:
    from engine.report.view_file import to_json, view_file

    here = _here(workspace)
    collections = [here[name] for name in shown.collections if name in here]
    return to_json(view_file(PAGE, view, asked, collections, seed=shown.seed, numbers=shown.numbers))


def _open(workspace: Workspace) -> None:
    """Set the lab as a file has it, or say why not."""
    from engine.report.view_file import MOST_BYTES, differences, from_json

    file = st.session_state[_FILE]
    if file is None:  # taken out again
        return
    try:
        view = from_json(file.read(MOST_BYTES + 1))
        said = [(False, words) for words in (*_apply(view), *differences(view, _here(workspace)))]
    except ViewFileError as error:
        said = [(True, str(error))]
    st.session_state[_SAID] = said


def _apply(view: ViewFile) -> list[str]:
    """Set the controls of a view, and return in words what could not be. Raises ViewFileError."""
    if view.page != PAGE:
        raise ViewFileError(f"is of the page {view.page!r}, and this is the {PAGE}.")
    controls, wrong = _controls(view.view, view.settings), []
    for name in controls.names:
        if name in view.settings:
            value = controls.fitting(name, view.settings[name])
            if value is None:
                wrong.append(f"The file asks for {name} {view.settings[name]!r}, which it cannot be.")
            else:
                st.session_state[name] = value
    st.session_state["view"] = view.view
    if view.view == _LESSONS:
        walk.open_again(int(str(view.settings["lesson"])), revealed=bool(view.numbers))
    elif view.view == _TRAIN:
        training.begin_again()
    return wrong
