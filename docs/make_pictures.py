"""Makes the pictures of the product that the pages of docs/ show, each in light and in dark.

    .venv/bin/python -m docs.make_pictures [FOLDER]

Starts the app on an empty data folder and drives Chromium through it. Needs what requirements-dev.txt
installs, and Debian's `chromium`. FOLDER keeps the data for the next time.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from PIL import Image

from docs.browsing import PICTURES, app, open_map, settled
from tests.helpers.chromium import JOB_MS, LOAD_MS

WIDTH = 1280
QUALITY = 90
SCHEMES = ("light", "dark")


def home(page: Any, address: str) -> None:
    """Home, with its facts and its strip of photographs."""
    page.goto(address)
    page.locator(".gs-strip img").nth(11).wait_for()


def search(page: Any, address: str) -> None:
    """Search: castles, by words."""
    page.goto(f"{address}/Search?q=an+old+castle")
    page.locator('[class*="st-key-grid_hit"] .gs-card').first.wait_for()


def rerank_loss(page: Any, address: str) -> None:
    """Rerank: a question for which the reranker is worth less than nothing."""
    page.goto(f"{address}/Rerank?q=a+black+dog+standing+on+fallen+leaves&collection=samples")
    page.locator('[class*="st-key-rr_card_rr0_"]').first.wait_for(timeout=LOAD_MS)
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for(state="attached")


def maps(page: Any, address: str) -> None:
    """Map: the samples and their captions, with the numbers below."""
    open_map(page, address)


def gap_lab(page: Any, address: str) -> None:
    """Gap lab: two towers trained on the samples at temperature 0.01, at the last step."""
    page.goto(f"{address}/Gap_lab?view=Train&temperature=0.01")
    settled(page)
    page.get_by_role("button", name="Train").click()
    page.get_by_text("Why, and the trap").wait_for(timeout=JOB_MS)


def gap_see(page: Any, address: str) -> None:
    """Gap lab, See: the towers' islands beside Pocket's mixed map."""
    page.goto(f"{address}/Gap_lab?view=See")
    page.get_by_role("heading", name="Partly mixed").wait_for(timeout=JOB_MS)
    page.locator(".js-plotly-plot").nth(1).wait_for()


def gap_change(page: Any, address: str) -> None:
    """Gap lab, Change: the towers' gap closed by a shift."""
    page.goto(f"{address}/Gap_lab?view=Change&change_share=1.0")
    page.get_by_text("The curves are of").wait_for(timeout=JOB_MS)


def evaluate(page: Any, address: str) -> None:
    """Evaluate: the samples by their captions, with and without Pocket's reranker."""
    page.goto(f"{address}/Evaluate")
    settled(page)
    result = page.locator(".st-key-evaluation_chart svg .scatter").first
    if not result.count():
        page.get_by_role("button", name="Measure").click()
        result.wait_for(timeout=2 * JOB_MS)
        page.reload()
    result.wait_for()


def models(page: Any, address: str) -> None:
    """Models: what is in memory, and the table."""
    page.goto(f"{address}/Models")
    page.locator('[data-testid="stDataFrame"]').first.wait_for()


def playground(page: Any, address: str) -> None:
    """The playground on the Models page: Pocket's similarities of its examples."""
    page.goto(f"{address}/Models?view=Playground")
    page.locator('[class*="st-key-play_map_"] .js-plotly-plot').first.wait_for()


# name -> what opens it, and the height of its window in pixels
SHOTS: dict[str, tuple[Callable[[Any, str], None], int]] = {
    "home": (home, 900),
    "search": (search, 900),
    "rerank-loss": (rerank_loss, 1290),
    "map": (maps, 1130),
    "gap-lab": (gap_lab, 1920),
    "gap-see": (gap_see, 1200),
    "gap-change": (gap_change, 1330),
    "evaluate": (evaluate, 1900),
    "models": (models, 900),
    "playground": (playground, 1250),
}


def main(kept: str | None = None) -> None:
    """Take all pictures, first in light."""
    with app(kept) as (address, _, browser):
        for scheme in SCHEMES:
            page = browser.new_page()
            page.emulate_media(color_scheme=scheme)  # the theme follows it
            for name, (opened, height) in SHOTS.items():
                page.set_viewport_size({"width": WIDTH, "height": height})
                opened(page, address)
                page.mouse.move(WIDTH - 5, 5)
                settled(page, 1500)
                picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
                picture.convert("RGB").save(PICTURES / f"{name}-{scheme}.webp", quality=QUALITY, method=6)
            page.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
