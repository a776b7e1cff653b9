"""Columns of Arrow that metadata may be made of, by their types, and their cells as values of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.media.metadata import iso

if TYPE_CHECKING:
    import pyarrow as pa


def is_plain(found: pa.DataType) -> bool:
    """Tell whether a column holds what metadata may be: texts, numbers, truths or dates."""
    from pyarrow import types

    if types.is_dictionary(found):
        return is_plain(found.value_type)
    kinds = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, is_text, _is_dated)
    return any(is_kind(found) for is_kind in kinds)


def is_text(found: pa.DataType) -> bool:
    """Tell whether a column holds texts, or nothing at all."""
    from pyarrow import types

    kinds = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    return any(is_kind(found) for is_kind in kinds)


def _is_dated(found: pa.DataType) -> bool:
    from pyarrow import types

    return types.is_date(found) or types.is_timestamp(found) or types.is_time(found)


def plain_values(array: pa.Array) -> list[Any]:
    """Return values of Python; Arrow's own words for a date, as Python has none for a year of 20,000."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not _is_dated(array.type):
        return array.to_pylist()
    try:
        words = array.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # a time zone that nobody knows
        return [None] * len(array)
    return [None if one is None or one.startswith("<value") else iso(one) for one in words]
