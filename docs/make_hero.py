"""Makes the animation at the head of the README: a search, a lasso on the map, a reranking, a gap closed.

    .venv/bin/python -m docs.make_hero [FOLDER]

Starts the app on an empty data folder, drives Chromium through it, and writes hero.webp. Needs what
requirements-dev.txt installs, and Debian's `chromium`. FOLDER keeps the data for the next time.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from docs.browsing import PICTURES, app, open_map, settled
from engine.maps.files import read_projection
from engine.settings import PROJECT_DIR
from tests.helpers.chromium import JOB_MS
from tests.helpers.map_page import canvas_box, on_screen

WIDTH, HEIGHT = 1000, 640
BORDER_PX = 240  # between the menu and what is on the page
MOST_BYTES = 3_000_000
QUALITY = 72
QUESTION = "an old castle"
RERANKED = "a chinese pagoda above a lake and trees"
AROUND = "photos/neuschwanstein-castle.jpg"
LASSOED = 26
SHIFTS = ("PageUp",) * 3 + ("ArrowRight",) * 2  # .3 and .05 each: from 0 to where the centroids are one
# Chromium's pictures of a page show no pointer, and nothing says what is going on: both are drawn on top.
OVERLAY = """() => {
  const add = (id, style, html) => {
    const one = document.createElement("div");
    one.id = id; one.style.cssText = style; one.innerHTML = html; document.body.append(one);
    return one;
  };
  addEventListener("DOMContentLoaded", () => {
    const pointer = add("hero-pointer",
      "position:fixed;z-index:9999999;pointer-events:none;left:-99px;top:-99px",
      `<svg width="26" height="32" viewBox="0 0 13 16"><path d="M1 1v12.2l3.3-2.8 2.1 4.8 2.2-1-2.1-4.6h4.3z"
       fill="#111" stroke="#fff" stroke-width="1"/></svg>`);
    for (const kind of ["pointermove", "pointerdown"]) addEventListener(kind, (e) => {
      pointer.style.left = `${e.clientX - 2}px`; pointer.style.top = `${e.clientY - 2}px`;
    }, true);
    const words = sessionStorage.getItem("hero-words") ?? "";
    add("hero-words", `position:fixed;z-index:9999998;left:0;right:0;bottom:0;height:54px;display:flex;
      align-items:center;justify-content:center;background:#0f766e;color:#fff;
      font:600 21px "Source Sans",sans-serif`, words);
  });
}"""


class Reel:
    """A page that is filmed: what is done to it becomes frames with the time that each is shown."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.shown_ms: list[int] = []
        self.at = (WIDTH * 0.6, HEIGHT * 0.6)

    def shoot(self, shown_ms: int) -> None:
        """Add the page as it is, or show the last frame longer where nothing has changed."""
        png = self.page.screenshot(scale="css", caret="initial")
        frame = Image.open(io.BytesIO(png)).convert("RGB")
        if self.frames and frame.tobytes() == self.frames[-1].tobytes():
            self.shown_ms[-1] += shown_ms
            return
        self.frames.append(frame)
        self.shown_ms.append(shown_ms)

    def say(self, words: str) -> None:
        """Set the line below the page."""
        self.page.evaluate(
            """(words) => { sessionStorage.setItem("hero-words", words);
            document.getElementById("hero-words").textContent = words; }""",
            words,
        )

    def point(self, x: float, y: float, steps: int = 7) -> None:
        """Move the pointer there, slower at both ends."""
        start, end = np.array(self.at), np.array([x, y])
        for share in np.linspace(0, 1, steps + 1)[1:]:
            eased = share * share * (3 - 2 * share)
            self.page.mouse.move(*(start + (end - start) * eased))
            self.shoot(50)
        self.at = (x, y)

    def click(self, target: Any) -> None:
        """Point at the middle of something, and click it."""
        box = target.bounding_box()
        self.point(box["x"] + min(box["width"] / 2, 120), box["y"] + box["height"] / 2)
        self.shoot(250)
        target.click()

    def type(self, box: Any, words: str) -> None:
        """Type words, two letters a frame."""
        box.press("Control+a")
        for at in range(0, len(words), 2):
            box.press_sequentially(words[at : at + 2])
            self.shoot(90)
        self.shoot(350)
        box.press("Enter")

    def lasso(self, corners: Sequence[Sequence[float]]) -> None:
        """Draw a line round the corners with the tool that is chosen."""
        self.point(*corners[0])
        self.page.mouse.down()
        for corner in [*corners[1:], corners[0]]:
            self.page.mouse.move(*corner, steps=2)
            self.shoot(60)
        self.at = tuple(corners[0])
        self.shoot(400)
        self.page.mouse.up()

    def scroll(self, down_px: float, steps: int = 6) -> None:
        """Scroll the page, with the pointer at its border: over the map a wheel would zoom."""
        self.point(BORDER_PX, HEIGHT * 0.45)
        for _ in range(steps):
            self.page.mouse.wheel(0, down_px / steps)
            self.page.wait_for_timeout(120)
            self.shoot(60)

    def save(self, path: Path) -> None:
        """Write the frames. Raises ValueError where the file is larger than a README should load."""
        first, *others = self.frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self.shown_ms,
            loop=0,
            quality=QUALITY,
            method=6,
            minimize_size=True,
        )
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ValueError(
                f"{path} has {size:,} bytes; at most {MOST_BYTES:,}: film less, or lower QUALITY"
            )


def search(reel: Reel, address: str) -> None:
    """Ask in words, and look at what is found."""
    reel.page.goto(f"{address}/Search")
    box = reel.page.get_by_label("What are you looking for?")
    box.wait_for()
    settled(reel.page)
    reel.say("Search pictures in words: offline, on a CPU")
    reel.page.mouse.move(*reel.at)
    reel.shoot(900)
    reel.click(box)
    reel.type(box, QUESTION)
    reel.page.locator('[class*="st-key-grid_hit"] .gs-card').first.wait_for()
    settled(reel.page)
    reel.shoot(2600)


def lasso(reel: Reel, folder: Path) -> None:
    """Open the map, select the castles and look at them."""
    page = reel.page
    reel.click(page.get_by_role("link", name="Map"))
    page.locator("[data-drawn]").first.wait_for()
    page.get_by_text("All numbers, and what they mean").wait_for()
    settled(page)
    reel.say("Map: pictures and their captions in one space")
    reel.shoot(1500)
    reel.scroll(canvas_box(page)["y"] - 12)
    reel.shoot(1500)
    reel.say("Lasso a group of points …")
    reel.click(page.get_by_role("button", name="Lasso", exact=True))
    box = canvas_box(page)
    reel.lasso(around(folder, box))
    heading = page.get_by_role("heading", name="selected")
    heading.wait_for()
    settled(page)
    reel.shoot(900)
    reel.say("… and see what they are")
    top = page.locator('[class*="st-key-acts_map_"]').first.bounding_box()["y"]
    reel.scroll(max(0, top - 330), steps=8)
    settled(page)
    reel.shoot(2600)


def around(folder: Path, box: dict[str, float]) -> list[tuple[float, float]]:
    """Return a round line about the places nearest to one photograph, (x, y) pixels of the window."""
    [path] = [path for path in (folder / "maps").glob("*.npz") if ".columns." not in path.name]
    found, _ = read_projection(path)
    points = on_screen(found.places, box)
    id_ = hashlib.sha256((PROJECT_DIR / "sample_data" / AROUND).read_bytes()).hexdigest()
    near = np.argsort(np.linalg.norm(points - points[found.ids.index(id_)], axis=1))[:LASSOED]
    middle = points[near].mean(axis=0)
    reach = np.linalg.norm(points[near] - middle, axis=1).max() + 12
    turns = np.linspace(0, 2 * np.pi, 15)[:-1]
    wobble = 1 + 0.06 * np.sin(3 * turns)
    line = middle + reach * (wobble * np.array([np.cos(turns), np.sin(turns)])).T
    return [(float(x), float(y)) for x, y in line]


def rerank(reel: Reel) -> None:
    """Ask again, and see what a reranker changes."""
    page = reel.page
    reel.click(page.get_by_role("link", name="Rerank"))
    box = page.get_by_label("What are you looking for?")
    box.wait_for()
    settled(page)
    reel.say("Rerank: what moved, how far, at what cost, and was it worth it")
    reel.shoot(900)
    reel.click(box)
    reel.type(box, RERANKED)
    page.get_by_text("Worth it").first.wait_for()
    settled(page, 1500)
    reel.shoot(3000)
    reel.scroll(700, steps=8)
    settled(page)
    reel.shoot(3200)


def gap(reel: Reel) -> None:
    """See the gap, then close it step by step and read what becomes of the search."""
    page = reel.page
    reel.click(page.get_by_role("link", name="Gap lab"))
    page.get_by_role("heading", name="Partly mixed").wait_for()
    settled(page, 1500)
    reel.say("Gap lab: two models of the same things, one with a gap")
    reel.shoot(2400)
    reel.scroll(260, steps=5)
    settled(page)
    reel.shoot(1800)
    page.locator('[data-testid="stMain"]').evaluate("(one) => one.scrollTo(0, 0)")
    reel.say("Close the gap, and see what becomes of the search")
    reel.click(page.get_by_role("radio", name="Change"))
    page.locator(".gs-read").wait_for()
    settled(page, 1200)
    reel.scroll(190, steps=4)
    reel.shoot(1500)
    slider = page.get_by_role("slider").first
    for key in SHIFTS:
        slider.press(key)
        settled(page, 900)
        reel.shoot(450)
    reel.shoot(2600)


def warm(page: Any, address: str) -> None:
    """Have everything computed that the film shows: waiting is not what it is about."""
    open_map(page, address)
    page.goto(f"{address}/Rerank?q={RERANKED.replace(' ', '+')}&collection=samples")
    page.locator('[class*="st-key-rr_card_rr0_"]').first.wait_for(timeout=5 * JOB_MS)
    page.goto(f"{address}/Gap_lab?view=See")
    page.get_by_role("heading", name="Partly mixed").wait_for(timeout=JOB_MS)
    page.goto(f"{address}/Gap_lab?view=Change")
    page.get_by_text("The curves are of").wait_for(timeout=JOB_MS)


def main(kept: str | None = None) -> None:
    """Film the four, one after the other, and write the animation."""
    with app(kept) as (address, folder, browser):
        page = browser.new_page()
        page.set_viewport_size({"width": 1280, "height": 900})
        warm(page, address)
        page.close()
        page = browser.new_page()
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        page.add_init_script(f"({OVERLAY})()")
        reel = Reel(page)
        search(reel, address)
        lasso(reel, folder)
        rerank(reel)
        gap(reel)
        page.close()
    reel.save(PICTURES / "hero.webp")


if __name__ == "__main__":
    main(*sys.argv[1:2])
