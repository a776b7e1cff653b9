"""What the columns of a Parquet file are, by their types, and their cells as values of Python; opens none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.media.metadata import iso

if TYPE_CHECKING:
    import pyarrow as pa


def is_bytes(found: pa.DataType) -> bool:
    """Tell whether a column holds bytes."""
    from pyarrow import types

    return types.is_binary(found) or types.is_large_binary(found) or types.is_binary_view(found)


def _inner(found: pa.DataType) -> pa.DataType | None:
    from pyarrow import types

    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view)
    return found.value_type if any(is_kind(found) for is_kind in lists) else None


def is_vector(found: pa.DataType) -> bool:
    """Tell whether a column holds lists of numbers with fractions, or tensors."""
    from pyarrow import types

    if type(found).__name__ == "FixedShapeTensorType":
        return True
    inner = _inner(found)
    return inner is not None and types.is_floating(inner)


def is_readable(found: pa.DataType) -> bool:
    """Tell what can be a caption, a label or metadata: plain values, lists of them, and structs of texts."""
    from pyarrow import types

    if (inner := _inner(found)) is not None:
        return _is_value(inner) or (types.is_struct(inner) and _has_text(inner))
    return _is_value(found)


def _has_text(found: pa.DataType) -> bool:
    return any(_is_text(one.type) for one in found)


def _is_value(found: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(found):
        return _is_value(found.value_type)
    kinds = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, _is_text, _is_dated)
    return any(is_kind(found) for is_kind in kinds)


def _is_text(found: pa.DataType) -> bool:
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
