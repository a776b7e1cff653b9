"""Map: all modalities of a collection in one plot; select, ask, compare, and judge the picture by numbers."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.ui import frame, resources
from pages.ui.jobs import show_jobs
from pages.ui.map import canvas, colours, duplicates, fit, numbers, question, selection, settings
from pages.ui.map.selected import chosen

frame.start("Map")
st.html(canvas.STYLE)
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
    choice = settings.ask(infos, partial(colours.names, workspace))
    drawn = fit.opened(workspace, jobs, choice.info, choice.settings, name="a")
    if drawn is None:
        st.stop()
    other = None
    picked = chosen()
    picked.follow(f"{choice.info.name} {drawn.version}")
    if item := st.query_params.get("item"):
        picked.marked = item
    landed = question.ask(workspace, choice.info, choice.question)
    if landed:
        question.say(landed, drawn)
    twice = choice.beside == (choice.info, choice.settings)
    if twice:
        st.caption("A second map would be the same as this one: choose another under Compare.")
    if choice.beside is None or twice:
        canvas.canvas(workspace, "a", drawn, choice, landed)
        fit.about(jobs, choice.info, drawn, name="a")
    else:
        left, right = st.columns(2)
        with left:
            canvas.canvas(workspace, "a", drawn, choice, landed, height_px=440)
            fit.about(jobs, choice.info, drawn, name="a")
        with right:
            other = fit.opened(workspace, jobs, *choice.beside, name="b")
            if other:
                same = choice.beside[0].name == choice.info.name
                there = landed if same else question.ask(workspace, choice.beside[0], choice.question)
                canvas.canvas(workspace, "b", other, choice, there, height_px=440)
                fit.about(jobs, choice.beside[0], other, name="b")
    if other:
        canvas.say_shared(drawn.map.projection.ids, other.map.projection.ids)
    numbers.draw_section(workspace, drawn, other)
    selection.draw_section(workspace, jobs, drawn)
    duplicates.draw_section(workspace, jobs, drawn)
