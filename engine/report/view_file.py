"""A view of a page as a JSON file: of what, with which settings, its numbers, and what computed them.

It is read again from strangers, so that nothing in it is taken for granted; opening it is for the pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from engine.errors import ViewFileError
from engine.report.versions import versions
from engine.storage.chroma import CollectionInfo
from engine.text import MAX_CHARS, MAX_QUERY_CHARS

PRODUCT, FORMAT = "gapscope", 1
MOST_BYTES = 1_000_000  # a view has some dozens of settings and numbers
_MOST = 1_000  # of anything that is listed

Setting = str | int | float | bool | list[str]
Number = float | int | str | None


@dataclass(frozen=True)
class ViewCollection:
    """A collection as it was when a view was taken away: what made it, and how many items it had."""

    name: str
    model: str
    revision: str
    counts: Mapping[str, int]

    @classmethod
    def of(cls, info: CollectionInfo) -> ViewCollection:
        """Return a collection as it is now."""
        counts = {str(kind): count for kind, count in info.counts.items()}
        return cls(info.name, info.made_by.model, info.made_by.revision, counts)


@dataclass(frozen=True)
class ViewFile:
    """What a file holds: `settings` are the controls of the view by their names, `numbers` what it showed.

    `seed` is that of its draws (None: it draws none), `created_at` a time in UTC as ISO 8601 writes it.
    """

    page: str
    view: str
    settings: Mapping[str, Setting]
    collections: tuple[ViewCollection, ...]
    seed: int | None
    numbers: Mapping[str, Number]
    versions: Mapping[str, str]
    created_at: str


def view_file(
    page: str,
    view: str,
    settings: Mapping[str, Setting],
    collections: Sequence[ViewCollection],
    *,
    seed: int | None,
    numbers: Mapping[str, Number],
) -> ViewFile:
    """Return a view as it stands now; a number that is none (NaN, infinite) is None."""
    shown = {
        name: None if isinstance(one, float) and not math.isfinite(one) else one
        for name, one in numbers.items()
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return ViewFile(page, view, dict(settings), tuple(collections), seed, shown, versions(), now)


def to_json(view: ViewFile) -> str:
    """Return a view as JSON, its product and format first."""
    document = {"product": PRODUCT, "format": FORMAT, **asdict(view)}
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)


def from_json(data: bytes) -> ViewFile:
    """Return the view of a file. Raises ViewFileError, which says what is wrong with it."""
    if len(data) > MOST_BYTES:
        raise ViewFileError(
            f"has {len(data):,} bytes, and a view has {MOST_BYTES:,} at most. Choose a file that was taken "
            f"away from a view."
        )
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ViewFileError("is no JSON. Choose a file that was taken away from a view.") from error
    if not isinstance(document, dict) or document.get("product") != PRODUCT:
        raise ViewFileError("is of another product. Choose a file that was taken away from a view.")
    form = document.get("format")
    if not isinstance(form, int) or isinstance(form, bool) or form < 1:
        raise _wrong("format", form, "a number from 1 on")
    if form > FORMAT:
        raise ViewFileError(
            f"was written by a newer release (format {form}; this one reads up to {FORMAT}). Update Gapscope."
        )
    return ViewFile(
        page=_text(document, "page"),
        view=_text(document, "view"),
        settings=_mapping(document, "settings", _is_setting, "words, numbers, or lists of words"),
        collections=tuple(_collection(one) for one in _listed(document, "collections")),
        seed=_seed(document.get("seed")),
        numbers=_mapping(document, "numbers", _is_number, "numbers or words"),
        versions=_mapping(document, "versions", lambda one: isinstance(one, str), "words"),
        created_at=_text(document, "created_at"),
    )


def differences(view: ViewFile, here: Mapping[str, ViewCollection]) -> list[str]:
    """Return in sentences why the numbers of a view may come out otherwise here; `here` is by name."""
    found = []
    for then in view.collections:
        now = here.get(then.name)
        if now is None:
            found.append(f"The collection {then.name!r} of the file is not here.")
        elif (now.model, now.revision) != (then.model, then.revision):
            found.append(
                f"The collection {then.name!r} was of {_model(then)} then and is of {_model(now)} here: the "
                f"numbers may differ."
            )
        elif dict(now.counts) != dict(then.counts):
            found.append(
                f"The collection {then.name!r} had {_counts(then)} then and has {_counts(now)} here: the "
                f"numbers may differ."
            )
    return found


def _model(one: ViewCollection) -> str:
    return f"{one.model} ({one.revision[:12]})" if one.revision else one.model


def _counts(one: ViewCollection) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in one.counts.items()) or "nothing"


def _collection(data: Any) -> ViewCollection:
    if not isinstance(data, dict):
        raise _wrong("collections", data, "a list of collections")
    counts = _mapping(data, "counts", lambda one: isinstance(one, int) and one >= 0, "counts")
    return ViewCollection(_text(data, "name"), _text(data, "model"), _text(data, "revision"), counts)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or len(value) > MAX_CHARS:
        raise _wrong(name, value, f"words of at most {MAX_CHARS} characters")
    return value


def _listed(data: dict[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list) or len(value) > _MOST:
        raise _wrong(name, value, f"a list of at most {_MOST:,}")
    return value


def _mapping(data: dict[str, Any], name: str, allowed: Any, words: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict) or len(value) > _MOST:
        raise _wrong(name, value, f"at most {_MOST:,} names with {words}")
    for key, one in value.items():
        if not allowed(one):
            raise _wrong(f"{name}.{key[:MAX_CHARS]}", one, words)
    return value


def _seed(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _wrong("seed", value, "a whole number or null")


def _is_setting(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST and all(isinstance(one, str) and len(one) <= MAX_CHARS for one in value)
    return _is_number(value) and value is not None


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_QUERY_CHARS
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _wrong(name: str, value: Any, allowed: str) -> ViewFileError:
    return ViewFileError(f"has {str(value)[:80]!r} for {name[:80]!r}, which must be {allowed}.")
