"""Which column of a file of vectors is used as what: as somebody chose it, or by its usual name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from engine.types import MODALITIES, Modality
from engine.vector_files.rows import COLUMNS, REQUIRED, is_ours

Unpack = Literal["", "none", "binary", "int8"]
# In any case, and with blanks around them. Of the optional ones the first name goes before the others.
USUAL: Mapping[str, tuple[str, ...]] = {
    **{role: (role,) for role in COLUMNS},
    "id": ("id", "ids"),
    "vector": ("vector", "vectors", "embedding", "embeddings", "emb"),
    "text": ("text", "caption"),
    "label": ("label", "labels"),
}
_SHOWN = 12  # columns that an error names


@dataclass(frozen=True)
class Reading:
    """How a file of vectors is to be read; what is not said is recognised by its usual name.

    columns: pairs of what a column is used as (one of `rows.COLUMNS`) and its name in the file, empty for no
    column (rows without a column of ids are numbered). `modality` is that of all rows. `unpack` tells what
    becomes of quantised vectors: `binary` makes 8 numbers of each, `int8` scales them, `none` takes them as
    they are, and an empty one refuses them. Raises ValueError for other words.
    """

    columns: tuple[tuple[str, str], ...] = ()
    modality: Modality | None = None
    unpack: Unpack = ""

    def __post_init__(self) -> None:
        if not {role for role, _ in self.columns} <= set(COLUMNS):
            raise ValueError(f"columns are used as {', '.join(COLUMNS)}, not as {self.columns}")
        if self.modality not in (None, *MODALITIES):
            raise ValueError(f"the modality {self.modality!r} is none of {', '.join(MODALITIES)}")
        if self.unpack not in get_args(Unpack):
            raise ValueError(f"vectors are unpacked as binary, int8 or none, not as {self.unpack!r}")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Reading:
        """Return the reading that `to_dict` wrote, before or after JSON. Raises TypeError, ValueError."""
        columns = tuple((role, column) for role, column in data["columns"])
        return cls(**{**data, "columns": columns})

    def to_dict(self) -> dict[str, Any]:
        """Return the reading as JSON takes it."""
        return asdict(self)


@dataclass(frozen=True)
class Used:
    """Which column is used as what, and why that cannot be told, in words."""

    columns: Mapping[str, str]
    problems: tuple[str, ...] = ()

    def words(self) -> str:
        """Return in words the columns that are not called what they are used as; empty where all are."""
        other = [f"{name} as {role}" for role, name in self.columns.items() if name != role]
        return f"Columns were used under other names: {', '.join(other)}." if other else ""


def used(
    names: Sequence[str],
    reading: Reading,
    fits: Callable[[str, str], bool],
    *,
    roles: Collection[str] = COLUMNS,
) -> Used:
    """Return which of a file's columns are used as what; fits tells whether a column can be (role, name).

    Where the usual names fit several columns it is nobody's guess: the problem names them. A file of our own
    (see `rows.is_ours`) is read by the exact names alone, as its other columns may be called anything.
    Only a file with vectors must have ids: what lies beside an array may be told by its place.
    """
    chosen, found, problems = dict(reading.columns), {}, []
    required = REQUIRED if "vector" in roles else ("modality",)
    for role in [one for one in COLUMNS if one in roles]:
        if role == "modality" and reading.modality:
            continue
        if role in chosen:
            if chosen[role] in names:
                found[role] = chosen[role]
            elif chosen[role]:
                problems.append(f"it has no column {chosen[role]!r}; {_listed(names)}")
            continue
        fitting = _candidates(role, names, fits)
        if len(fitting) == 1:
            found[role] = fitting[0]
        elif fitting:
            several = f"{', '.join(fitting[:-1])} and {fitting[-1]} could each be the {role}"
            problems.append(f"its columns {several}: choose one ({_how(role)})")
    missing = [one for one in required if _lacks(one, reading, found) and one not in chosen]
    if missing and not problems:
        optional = ", ".join(one for one in COLUMNS if one not in REQUIRED)
        how = ", ".join(_how(role) for role in missing)
        problems.append(
            f"it has no column {', '.join(missing)}. Required are {', '.join(REQUIRED)}; {optional} may be "
            f"there. {_listed(names)}: choose ({how})"
        )
    empty = [one for one in required if one != "id" and _lacks(one, reading, found) and one in chosen]
    if empty and not problems:
        problems.append(f"no column is chosen as the {' and the '.join(empty)}")
    return Used(found, tuple(problems))


def _candidates(role: str, names: Sequence[str], fits: Callable[[str, str], bool]) -> list[str]:
    if is_ours(names) or (role not in REQUIRED and role in names):
        return [role] if role in names else []
    usual = [name for name in names if name.strip().lower() in USUAL[role]]
    return [name for name in usual if fits(role, name)] or usual[:1]


def _lacks(role: str, reading: Reading, found: Mapping[str, str]) -> bool:
    return role not in found and not (role == "modality" and reading.modality)


def _how(role: str) -> str:
    one_for_all = " or --modality for all rows" if role == "modality" else ""
    none = " or none to number the rows" if role == "id" else ""
    return f"--{role.replace('_', '-')}-column{none}{one_for_all}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"Its columns are {', '.join(names[:_SHOWN])}{more}" if names else "It has no columns"
