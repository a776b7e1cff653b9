"""One opened data folder: settings, store, ledger and library, opened, repaired and changed in step.

What touches more than one of the three is here. Knows of no feature: no search, no maps, no models in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from engine.disk import folder_error
from engine.errors import MediaError, QueryError
from engine.media.decode import content_of, probe_stored
from engine.media.decoder import open_picture, parts_of
from engine.media.metadata import metadata_of
from engine.media.parts import Limits
from engine.models.base import ModelChoice
from engine.models.catalog import DEFAULT_MODEL
from engine.settings import Settings
from engine.storage.chroma import Store
from engine.storage.ledger import Ledger
from engine.storage.library import Library
from engine.storage.matching import Matching
from engine.storage.repair import drop_staging, finish_swaps, repair
from engine.storage.staging import Stagings
from engine.text import clean_text
from engine.types import MODALITIES, Item, Metadata

MAX_LABEL_CHARS = 100
_LABELLED_AT_ONCE = 256  # writers block readers of the store: 0.2 s with so many rows


@dataclass(eq=False)
class DataFolder:
    """What is kept of all collections; safe to share between threads."""

    settings: Settings
    store: Store
    ledger: Ledger
    library: Library
    matching: Matching = field(init=False)

    def __post_init__(self) -> None:
        self.matching = Matching(self.store, self.ledger)

    @classmethod
    def open(cls, settings: Settings, on_stage: Callable[[str], None] = lambda stage: None) -> DataFolder:
        """Open the data folder, and bring the index up to what the ledger holds.

        Raises StoreLockedError before anything is written where another process has it open,
        StoreUnreachableError, or FolderError.
        """
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise folder_error(settings.data_dir, error) from error
        on_stage("Opening the store")
        if settings.chroma_url:
            store = Store.open_server(settings.chroma_url)
        else:
            store = Store.open_embedded(settings.data_dir)
        with ExitStack() as opened:
            opened.callback(store.close)
            ledger = Ledger(settings.data_dir / "ledger.sqlite3")
            opened.callback(ledger.close)
            folder = cls(settings, store, ledger, Library(settings.data_dir))
            repair(store, ledger, folder.library, on_stage)
            opened.pop_all()
        return folder

    def close(self) -> None:
        """Close the store and the ledger, and let another process open them."""
        self.ledger.close()
        self.store.close()

    def finish_swaps(self) -> None:
        """Go on where the store failed, or was out of reach, just as a re-embedding was put in place."""
        finish_swaps(self.store, self.ledger, self.library)

    def discard_reembedding(self, target: str) -> None:
        """Delete what an unfinished re-embedding has made of `target` so far; the collection itself stays."""
        staging = Stagings(self.ledger).find(target)
        if staging:
            drop_staging(staging, self.store, self.ledger, self.library)

    def choice_of(self, collection: str) -> ModelChoice:
        """Return the choice that made a collection, or Pocket's where there is none yet."""
        made_by = self.ledger.provenance(collection)
        if made_by is None:  # on a shared server another data folder may have made it
            infos = {info.name: info for info in self.store.collections()}
            made_by = infos[collection].made_by if collection in infos else None
        return ModelChoice.of(made_by) if made_by else ModelChoice(DEFAULT_MODEL)

    def deletions(self, collection: str) -> int:
        """Return how often items were deleted: an id may have come back with another vector since."""
        return int(self.ledger.get_state(_deletions(collection)) or 0)

    def count_deletion(self, collection: str) -> None:
        """Record that items of a collection were deleted once more."""
        self.ledger.set_state(_deletions(collection), str(self.deletions(collection) + 1))

    def open_item(self, item: Item, *, side_px: int | None = None) -> Any:
        """Return an item's content as a model reads it: its text, or its picture upright in RGB.

        A JPEG may be decoded smaller, down to a shorter side of side_px. Raises MediaError where the file is
        gone or cannot be read, or it was imported without.
        """
        if missing := missing_content(item):
            raise MediaError(missing)
        if item.modality == "text":
            return item.caption
        try:
            data = self.library.media_path(item.media or "", item.mime).read_bytes()
        except OSError as error:
            raise MediaError(f"The file of {item.name} cannot be read: {error.strerror}.") from error
        return content_of(item, parts_of(probe_stored(item, data), Limits.of(self.settings, side_px)))

    def open_question(self, name: str) -> Any:
        """Return a picture that somebody asked with, upright in RGB. Raises MediaError where it is gone."""
        try:
            data = self.library.question_path(name).read_bytes()
        except OSError as error:
            raise MediaError("The picture that was asked with is no longer kept.") from error
        return open_picture(data, Limits.of(self.settings))

    def label_items(
        self,
        collection: str,
        ids: Iterable[str],
        label: str,
        *,
        remove: bool = False,
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> int:
        """Give items a label, or take it from them; returns how many that changed.

        Raises QueryError for a label that is empty or long, CollectionNotFoundError, StoreError, FolderError.
        """
        changed = partial(relabelled, label=check_label(label), remove=remove)
        return len(self._change(collection, list(ids), changed, on_progress))

    def complete_items(
        self, collection: str, said: Mapping[str, tuple[tuple[str, ...], Metadata]]
    ) -> set[str]:
        """Give items, by their ids, labels and columns that they have not; returns the ids that this changed.

        Raises CollectionNotFoundError, StoreError, FolderError.
        """
        return self._change(collection, list(said), partial(completed, said=said))

    def _change(
        self,
        collection: str,
        wanted: Sequence[str],
        changed: Callable[[Iterable[Item]], list[Item]],
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> set[str]:
        """Store those items anew that `changed` returns of some; returns their ids.

        The ledger goes first: what is cut off half-way is repaired from it.
        """
        self.finish_swaps()
        made_by = {collection: self.store.info(collection).made_by}
        for staging in Stagings(self.ledger).of(collection):  # or re-embedding brings the old ones back
            if recorded := self.ledger.provenance(staging.name):
                made_by[staging.name] = recorded
        steps = [
            (name, modality, wanted[start : start + _LABELLED_AT_ONCE])
            for name in made_by
            for modality in MODALITIES
            for start in range(0, len(wanted), _LABELLED_AT_ONCE)
        ]
        ids: set[str] = set()
        for done, (name, modality, some) in enumerate(steps, 1):
            items, table = self.ledger.get(name, modality, some)
            if new := changed(items):
                rows = table.take(item.id for item in new)
                self.ledger.put(name, new, rows)
                self.store.upsert(name, made_by[name], modality, new, rows)
                ids |= {item.id for item in new}
            on_progress(done / len(steps))
        return ids


def missing_content(item: Item) -> str:
    """Return in words that an item has nothing a model could read, only an imported vector; else ""."""
    if item.modality == "text":
        return "" if item.caption else "It was imported without its text."
    return "" if item.media else "It was imported without its media file."


def check_label(label: str) -> str:
    """Return a label on one line. Raises QueryError where nothing is left, or it is long."""
    clean = " ".join(clean_text(label[: 10 * MAX_LABEL_CHARS]).split())
    if not clean or len(clean) > MAX_LABEL_CHARS:
        raise QueryError(f"A label has 1 to {MAX_LABEL_CHARS} characters; this one has {len(clean):,}.")
    return clean


def relabelled(items: Iterable[Item], label: str, *, remove: bool = False) -> list[Item]:
    """Return those items that a label is new to, with it; or that have it, without."""
    return [
        replace(
            item,
            labels=tuple(one for one in item.labels if one != label) if remove else (*item.labels, label),
        )
        for item in items
        if (label in item.labels) == remove
    ]


def completed(items: Iterable[Item], said: Mapping[str, tuple[tuple[str, ...], Metadata]]) -> list[Item]:
    """Return those items of which more is said, by their ids, with the labels and columns that they lack."""
    found = []
    for item in items:
        labels, metadata = said[item.id]
        more = replace(
            item,
            labels=tuple(dict.fromkeys((*item.labels, *labels))),
            metadata=metadata_of((*item.metadata, *metadata)),
        )
        if more != item:
            found.append(more)
    return found


def _deletions(collection: str) -> str:
    return f"deletions in {collection}"
