"""Pictures that differ in a colour, a count or a written word alone, with the question for each.

Composed, not photographed as they are: Tux Paint's cut-outs tinted, repeated on a plain ground, and
words on a panel over Scratch's scenes. Every picture has hard negatives: the same thing in other
colours, in other numbers, the same scene with other words. Training and held-out share no cut-out,
no scene and no written word.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, ImageOps

Split = Literal["train", "held-out"]
Row = tuple[Image.Image, str, str]  # picture, question, "colour", "count" or "text"

TINTS = {
    "red": (205, 32, 38),
    "blue": (38, 72, 190),
    "green": (42, 140, 58),
    "yellow": (238, 200, 40),
    "purple": (122, 48, 150),
    "orange": (240, 130, 30),
    "pink": (240, 130, 180),
    "brown": (112, 68, 34),
}
# cut-out, what it is called, and its plural; chosen by eye: one thing, whole, with a plain name
THINGS: dict[Split, tuple[tuple[str, str, str], ...]] = {
    "train": (
        ("household/dishes/mug", "mug", "mugs"),
        ("clothes/t_baseballcap", "cap", "caps"),
        ("vehicles/auto/sportscar2", "sports car", "sports cars"),
        ("clothes/t_poloshirt", "shirt", "shirts"),
        ("food/fruit/apple_red", "apple", "apples"),
        ("hobbies/music/string/guitar_electric", "guitar", "guitars"),
        ("food/fruit/banana", "banana", "bananas"),
        ("clothes/hats/tophat", "hat", "hats"),
    ),
    "held-out": (
        ("household/dishes/teapot", "teapot", "teapots"),
        ("household/key", "key", "keys"),
        ("household/rubberduck", "rubber duck", "rubber ducks"),
        ("clothes/t_tshirt", "t shirt", "t shirts"),
        ("vehicles/auto/sedan", "car", "cars"),
        ("vehicles/auto/truck", "pickup truck", "pickup trucks"),
        ("food/fruit/strawberry", "strawberry", "strawberries"),
        ("sports/soccer", "ball", "balls"),
    ),
}
WORDS: dict[Split, tuple[str, ...]] = {
    "train": (
        "fresh fish", "hotel", "no parking", "museum", "welcome", "danger", "tickets", "garage",
        "pharmacy", "school", "please wait", "coffee", "flowers", "private", "books", "ice cream",
    ),
    "held-out": (
        "bakery", "exit", "for sale", "library", "closed", "open", "post office", "platform nine",
        "no smoking", "hospital", "keep left", "beware of the dog", "wet paint", "reception", "zoo",
        "harbour", "tea room", "lost property", "circus", "elevator", "barber", "quiet please",
        "car wash", "bus stop",
    ),
}  # fmt: skip
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
SIDE_PX = 480


def compose(stamps: Path, scenes: list[Path], split: Split) -> Iterator[Row]:
    """Yield every picture of a split with its question; scenes are those of the split."""
    chance = random.Random(split)
    things = [(_cut_out(stamps, name), one, many) for name, one, many in THINGS[split]]
    for number, (thing, one, _) in enumerate(things):
        for tint in list(TINTS)[number % 2 * 4 :][:4]:
            ground = _ground(scenes, number, chance) if number % 2 else _plain(chance)
            article = "an" if tint[0] in "aeiou" else "a"
            yield _placed(ground, [_tinted(thing, TINTS[tint])], chance), f"{article} {tint} {one}", "colour"
    for thing, one, many in things[:6]:
        for count, word in NUMBERS.items():
            name = one if count == 1 else many
            yield _placed(_plain(chance), [thing] * count, chance), f"{word} {name}", "count"
    for number, words in enumerate(WORDS[split]):
        ground = _ground(scenes, number // 4, chance)
        yield _signed(ground, words, chance), f'a sign that says "{words}"', "text"


def compose_signs(photographs: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Yield photographs with a sign on each, of the training words: for timing, not for judging."""
    chance = random.Random("signs")
    for number, photograph in enumerate(photographs):
        ground = ImageOps.fit(photograph, (SIDE_PX, SIDE_PX))
        yield _signed(ground, WORDS["train"][number % len(WORDS["train"])], chance)


def _cut_out(stamps: Path, name: str) -> Image.Image:
    with Image.open(stamps / f"{name}.png") as picture:
        rgba = picture.convert("RGBA")
    return rgba.crop(rgba.getchannel("A").point(lambda alpha: 255 * (alpha > 32)).getbbox())


def _tinted(thing: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Return the thing with its own light and shade, in one colour."""
    grey = ImageOps.autocontrast(ImageOps.grayscale(thing), cutoff=2, mask=thing.getchannel("A"))
    light = tuple((channel + 255) // 2 for channel in colour)  # so that what is white is tinted too
    tinted = ImageOps.colorize(grey, (12, 12, 12), light, mid=colour, midpoint=120).convert("RGBA")
    tinted.putalpha(thing.getchannel("A"))
    return tinted


def _plain(chance: random.Random) -> Image.Image:
    level = chance.choice((255, 245, 225))
    return Image.new("RGB", (SIDE_PX, SIDE_PX), (level, level, level - chance.choice((0, 8))))


def _ground(scenes: list[Path], number: int, chance: random.Random) -> Image.Image:
    with Image.open(scenes[number % len(scenes)]) as picture:
        return ImageOps.fit(picture.convert("RGB"), (SIDE_PX, SIDE_PX))


def _placed(ground: Image.Image, things: list[Image.Image], chance: random.Random) -> Image.Image:
    """Return the things side by side in two rows or one, jittered, none touching another."""
    columns = 1 if len(things) == 1 else 2
    cell = SIDE_PX // columns
    for place, thing in enumerate(things):
        share = chance.uniform(0.62, 0.8)
        small = ImageOps.contain(thing, (round(cell * share), round(cell * share)))
        left = place % columns * cell + chance.randint(4, cell - small.width - 4)
        rows = -(-len(things) // columns)
        top = (SIDE_PX - rows * cell) // 2 + place // columns * cell
        ground.paste(small, (left, top + chance.randint(4, cell - small.height - 4)), small)
    return ground


def _signed(ground: Image.Image, words: str, chance: random.Random) -> Image.Image:
    """Return the scene with a panel that has the words in capitals."""
    font = ImageFont.load_default(chance.choice((30, 36, 44)))
    draw = ImageDraw.Draw(ground)
    box = draw.textbbox((0, 0), words.upper(), font=font)
    width, height = box[2] + 28, box[3] + 24
    left, top = chance.randint(8, max(9, SIDE_PX - width - 8)), chance.randint(40, SIDE_PX - height - 40)
    paper, ink = chance.choice((("white", "black"), ("#1d4f91", "white"), ("#f2d21f", "#101010")))
    draw.rectangle((left, top, left + width, top + height), fill=paper, outline=ink, width=3)
    draw.text((left + 14, top + 10), words.upper(), font=font, fill=ink)
    return ground
