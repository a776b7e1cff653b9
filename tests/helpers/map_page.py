"""The Map page in a real browser: open it, know where its points are, lasso some of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.maps.files import read_projection
from tests.helpers.chromium import JOB_MS, READY, steady


def open_map(page, server: str, query: str = "", maps: int = 1) -> None:
    page.goto(f"{server}/Map?collection=photos{query}")
    page.locator("[data-drawn]").nth(maps - 1).wait_for(timeout=JOB_MS)
    page.get_by_text("All numbers, and what they mean").wait_for()
    settled(page)


def settled(page) -> None:
    page.wait_for_selector(READY)
    page.wait_for_timeout(300)


def kept_places(folder: Path, count: int = 80, dims: int = 2) -> tuple[list[str], np.ndarray]:
    """Return ids and places of the newest kept map of so many items."""
    paths = [path for path in (folder / "maps").glob("*.npz") if ".columns." not in path.name]
    for path in sorted(paths, key=lambda path: -path.stat().st_mtime):
        found, _ = read_projection(path)
        if found.places.shape == (count, dims):
            return list(found.ids), found.places
    raise AssertionError("no map was kept")


def on_screen(places: np.ndarray, box: dict) -> np.ndarray:
    """Return where the canvas shows places before any zoom, (n, 2) pixels of the window."""
    low, high = places.min(0), places.max(0)
    scaled = (places - (low + high) / 2) / ((high - low).max() / 2)
    side = 0.94 * min(box["width"], box["height"]) / 2
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    return middle + scaled * side * [1, -1]


def canvas_box(page, name: str = "a") -> dict:
    """Return where the canvas is, once it no longer moves."""
    return steady(page, page.locator(f".st-key-map_{name} canvas").bounding_box)


def lasso(page, corners, name: str = "a") -> None:
    page.keyboard.down("Shift")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")


def around(points: np.ndarray, margin: float = 5) -> list[tuple[float, float]]:
    (left, top), (right, bottom) = points.min(0) - margin, points.max(0) + margin
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def some_of(points: np.ndarray, count: int = 6) -> tuple[list[tuple[float, float]], list[int]]:
    """Return the corners of a box round some points, and the rows in it; no point lies near its border."""
    for start in np.argsort(points[:, 0])[20:]:
        corners = around(points[np.argsort(np.abs(points - points[start]).max(1))[:count]])
        low, high = np.min(corners, 0), np.max(corners, 0)
        inside = ((points > low + 2) & (points < high - 2)).all(1)
        outside = ((points < low - 2) | (points > high + 2)).any(1)
        if (inside | outside).all():
            return corners, np.flatnonzero(inside).tolist()
    raise AssertionError("a point is near the border of every box")


def cards_of(page) -> set[str]:
    classes = page.locator('[class*="st-key-acts_map_"]').evaluate_all("all => all.map(e => e.className)")
    return {match[1] for one in classes if (match := re.search(r"acts_map_([0-9a-f]{64})", one))}


def of_map(page, expression: str, name: str = "a"):
    return page.evaluate(
        f"(() => {{ const m = window.__gapscopeMaps?.get('{name}'); return {expression}; }})()"
    )
