"""Map: all modalities of a collection in one plot; select, ask, compare, and judge the picture by numbers."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.ui import (
    frame,
    map_choice,
    map_colours,
    map_duplicates,
    map_fit,
    map_numbers,
    map_question,
    map_selection,
    map_view,
    resources,
)
from pages.ui.jobs_view import show_jobs

frame.start("Map")
st.html(map_view.STYLE)
workspace, jobs = resources.opened()

with frame.errors():
    infos = {info.name: info for info in workspace.store.collections()}
    if not any(info.total for info in infos.values()):
        if jobs.active():
            st.info("The first collection is being made; its map can be drawn as soon as it is done.")
            show_jobs(jobs)
        else:
            st.info("There is nothing to draw yet: add pictures or texts in the Library.")
            st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
        st.stop()
    choice = map_choice.ask(infos, partial(map_colours.names, workspace))
    drawn = map_fit.opened(workspace, jobs, choice.info, choice.settings, name="a")
    if drawn is None:
        st.stop()
    other = None
    chosen = map_view.chosen()
    chosen.follow(f"{choice.info.name} {drawn.version}")
    if item := st.query_params.get("item"):
        chosen.marked = item
    landed = map_question.ask(workspace, choice.info, choice.question)
    if landed:
        map_question.say(landed, drawn)
    twice = choice.beside == (choice.info, choice.settings)
    if twice:
        st.caption("A second map would be the same as this one: choose another under Compare.")
    if choice.beside is None or twice:
        map_view.canvas(workspace, "a", drawn, choice, landed)
        map_fit.about(jobs, choice.info, drawn, name="a")
    else:
        left, right = st.columns(2)
        with left:
            map_view.canvas(workspace, "a", drawn, choice, landed, height_px=440)
            map_fit.about(jobs, choice.info, drawn, name="a")
        with right:
            other = map_fit.opened(workspace, jobs, *choice.beside, name="b")
            if other:
                same = choice.beside[0].name == choice.info.name
                there = landed if same else map_question.ask(workspace, choice.beside[0], choice.question)
                map_view.canvas(workspace, "b", other, choice, there, height_px=440)
                map_fit.about(jobs, choice.beside[0], other, name="b")
    if other:
        map_view.say_shared(drawn.map.projection.ids, other.map.projection.ids)
    map_numbers.draw_section(workspace, drawn, other)
    map_selection.draw_section(workspace, jobs, drawn)
    map_duplicates.draw_section(workspace, jobs, drawn)
