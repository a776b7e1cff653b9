"""Figures for a projector: every word larger, on a figure that is higher."""

from __future__ import annotations

from engine.figures.curves import curve_chart
from engine.figures.heat_map import LABEL_FONT_PX
from engine.figures.layout import PROJECTED_FONT_PX, enlarge


def test_a_figure_for_a_projector_has_large_type_and_the_room_for_it():
    figure = curve_chart([0, 1, 2], {"L2M": [0.1, 0.5, 0.9]}, at=1, last=2)
    before = figure.layout.height
    enlarge(figure)
    layout = figure.layout
    sizes = {layout.font.size, layout.legend.font.size, layout.xaxis.tickfont.size}
    assert sizes | {layout.yaxis.title.font.size} == {PROJECTED_FONT_PX} and PROJECTED_FONT_PX > LABEL_FONT_PX
    assert layout.height > before
    assert list(figure.data[0].y) == [0.1, 0.5, 0.9]
