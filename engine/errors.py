"""Every error Gapscope raises on purpose; the text says what arrived, what is allowed, what to do.

GapscopeError
├── SettingError                a GAPSCOPE_ variable that cannot be used
├── MediaError                  one file that cannot become an item
│   ├── EmptyFileError
│   ├── UnknownFormatError      the bytes are of no kind we read
│   ├── TooLargeError           too many bytes or pixels; refused before decoding
│   └── UnreadableMediaError    the right kind, but broken
├── QueryError                  a question that cannot be asked
├── FolderError                 the data folder: read-only, full, or no folder
├── ModelError
│   ├── UnknownModelError       no such model, here or on the hub
│   ├── WeightsError            missing, altered or half-downloaded weight files
│   ├── ModalityError           a model that cannot embed or read what it was given
│   ├── ModelKindError          an embedder where a reranker is wanted, or the other way round
│   ├── ModelOptionError        a width, dtype or pixel limit that the model or the device does not take
│   ├── ModelMemoryError        not enough memory for it on the device
│   ├── SlowModelError          it would take very long here; nothing was started
│   ├── RemoteCodeError         it brings its own code, which nobody has allowed
│   ├── NotDownloadedError      known, but its weights are not on this machine
│   ├── ImportedVectorsError    vectors that came from outside: there is no model to ask with
│   └── HubError                the model hub: out of reach, gated, unknown revision, cancelled
├── StoreError
│   ├── StoreLockedError        another process owns the embedded store
│   ├── StoreUnreachableError   the Chroma server does not answer
│   └── StoreFailedError        Chroma answered with an error
├── CollectionError
│   ├── CollectionNameError
│   ├── CollectionNotFoundError
│   └── CollectionModelError    made by another model, revision or width
├── VectorFileError             a file of vectors that cannot be read or written, row by row
│   └── QuantisedVectorsError   codes of a quantisation, where nobody said what they are
├── ExportError                 a data set that cannot be written where it was asked for
├── EvaluationError             nothing to measure against
├── ProjectionError             vectors or settings that make no map
├── GapError                    vectors of which the gap cannot be measured, or an edit that leaves nothing
├── TowerError                  pairs or settings that no two towers can be trained on
├── JudgementError              a mark on what is not stored, or of no grade there is
│   └── TrecError               a qrels, run or topics file that cannot be read, line by line
├── ViewFileError               a file of a view that cannot be opened again
└── RayIngestError              Ray is not installed, out of reach, too small, or gave up
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values) or "none"


class GapscopeError(Exception):
    """The root: catch this at a border to turn any expected failure into one sentence."""


class SettingError(GapscopeError):
    """A setting whose value cannot be used."""

    def __init__(self, key: str, value: object, wanted: str) -> None:
        self.key, self.value, self.wanted = key, value, wanted
        super().__init__(f"The setting {key} is {value!r}, but it must be {wanted}.")


class MediaError(GapscopeError):
    """One file that cannot become an item; `reason` is shown beside the file's name."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it come back from another process, whatever arguments its class is made with."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]  # pickle's own


class EmptyFileError(MediaError):
    """A file of no bytes."""

    def __init__(self) -> None:
        super().__init__("The file is empty (0 bytes).")


class UnknownFormatError(MediaError):
    """Bytes of a kind that is not read."""


class TooLargeError(MediaError):
    """More bytes or pixels than the limit; refused before anything is decoded."""

    def __init__(self, what: str, found: float, limit: float, unit: str, setting: str) -> None:
        self.found, self.limit, self.unit = found, limit, unit
        super().__init__(
            f"{what} has {found:,.4g} {unit}; the limit is {limit:,.4g} {unit} (setting {setting})."
        )


class UnreadableMediaError(MediaError):
    """A file of a known kind whose content is broken."""


class QueryError(GapscopeError):
    """A question that cannot be asked as it is."""


class FolderError(GapscopeError):
    """The data folder cannot be used or written."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"The data folder {path} {problem}. {remedy}")


class ModelError(GapscopeError):
    """A model that cannot be used."""


class UnknownModelError(ModelError):
    """A model id that the catalog does not hold."""

    def __init__(self, model: str, known: Iterable[str]) -> None:
        self.model, self.known = model, tuple(known)
        super().__init__(f"There is no model {model!r}. Known models: {_listed(self.known)}.")


class WeightsError(ModelError):
    """Weights that are missing, altered, or cannot be converted."""


class ModalityError(ModelError):
    """A model was given something it cannot embed."""

    def __init__(self, model: str, modality: str, allowed: Iterable[str]) -> None:
        self.model, self.modality, self.allowed = model, modality, tuple(allowed)
        super().__init__(f"{model} cannot embed {modality}; it embeds {_listed(self.allowed)}.")


class ModelKindError(ModelError):
    """A model of another kind than the one asked for."""

    def __init__(self, model: str, kind: str, wanted: str) -> None:
        self.model, self.kind, self.wanted = model, kind, wanted
        super().__init__(f"{model} is of kind {kind!r}, but this needs a model of kind {wanted!r}.")


class ModelOptionError(ModelError):
    """An option of a model that the model or the device does not take."""

    def __init__(self, model: str, option: str, value: object, allowed: str) -> None:
        self.model, self.option, self.value = model, option, value
        super().__init__(f"{model} does not take {option} {value}; it takes {allowed}.")


class ModelMemoryError(ModelError):
    """A model that does not fit; `fitting` are models that would."""

    def __init__(
        self, model: str, device: str, *, needed_gb: float | None, free_gb: float, fitting: Iterable[str]
    ) -> None:
        self.model, self.device, self.fitting = model, device, tuple(fitting)
        self.needed_gb, self.free_gb = needed_gb, free_gb
        needs = "more than there is" if needed_gb is None else f"{needed_gb:.1f} GB"
        super().__init__(
            f"{model} needs {needs} on {device}, and {free_gb:.1f} GB are free, unused models already "
            f"counted as free. Models that would fit: {_listed(self.fitting)}."
        )


class SlowModelError(ModelError):
    """A model that would take very long for this many files on this machine; nothing was started."""

    def __init__(self, model: str, device: str, *, seconds_per_item: float, items: int) -> None:
        self.model, self.seconds_per_item, self.items = model, seconds_per_item, items
        hours = seconds_per_item * items / 3600
        super().__init__(
            f"{model} takes {seconds_per_item:.1f} s an item on {device} (measured on one): {items:,} files "
            f"would take about {hours:.1f} hours. Choose a smaller model, or start it anyway "
            f"(--accept-slow on the command line)."
        )


class RemoteCodeError(ModelError):
    """A model that runs Python code of its own, which the operator has not allowed."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"{model} brings Python code of its own, which would run here with all your permissions. Read it "
            f"on the model's page; if you trust it, start Gapscope with GAPSCOPE_REMOTE_CODE={model}"
        )


class NotDownloadedError(ModelError):
    """A model whose weights are not on this machine; `local` are those that are."""

    def __init__(
        self, model: str, local: Iterable[str], *, missing: str = "", revision: str | None = None
    ) -> None:
        self.model, self.local, self.missing, self.revision = model, tuple(local), missing, revision
        which = f"{model} at revision {revision}" if revision else model
        how = f"is only partly here (missing: {missing})" if missing else "is not on this machine"
        exactly = f" --revision {revision}" if revision else ""
        super().__init__(
            f"{which} {how}. Download it on the Models page or with `python -m engine download "
            f"{model}{exactly}`. "
            f"Models that are here: {_listed(self.local)}."
        )


class ImportedVectorsError(ModelError):
    """Something must be embedded for a collection whose vectors no model here has made."""

    def __init__(self, label: str) -> None:
        self.label = label
        super().__init__(
            f"The collection is made of imported vectors ({label}): no model here can embed a question or a "
            f"file for it. “More like this”, the map, the gap numbers and Evaluate by pairs work."
        )


class HubError(ModelError):
    """The model hub did not give what was asked; the text says why and what to do."""


class StoreError(GapscopeError):
    """The Chroma store cannot be used."""


class StoreLockedError(StoreError):
    """Another process owns the embedded store."""

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self.owner = path, owner
        super().__init__(
            f"The store in {path} is open in another process ({owner}), and two processes would "
            f"corrupt it. Close that one first, or let both use a server: stop it, run "
            f"`chroma run --path {path / 'chroma'}` and set GAPSCOPE_CHROMA_URL=http://127.0.0.1:8000 "
            f"for both."
        )


class StoreUnreachableError(StoreError):
    """The Chroma server does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"The Chroma server at {url} does not answer. Start it (`chroma run`), or unset "
            f"GAPSCOPE_CHROMA_URL to use the embedded store; then try again: what was stored is kept."
        )


class StoreFailedError(StoreError):
    """Chroma answered with an error."""

    def __init__(self, where: str, detail: str) -> None:
        self.where, self.detail = where, detail
        super().__init__(f"The Chroma store at {where} failed: {detail}")


class CollectionError(GapscopeError):
    """A collection that cannot be used as asked."""


class CollectionNameError(CollectionError):
    """A name that the store would refuse."""

    def __init__(self, name: str, suggestion: str) -> None:
        self.name, self.suggestion = name, suggestion
        shown = name if len(name) <= 60 else name[:60] + "…"
        super().__init__(
            f"{shown!r} cannot name a collection: use 3 to 60 characters out of a-z, A-Z, 0-9, "
            f"'.', '_' and '-', with a letter or digit first and last, for example {suggestion!r}."
        )


class CollectionNotFoundError(CollectionError):
    """A collection that does not exist."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"There is no collection {name!r}. Collections here: {_listed(self.known)}. "
            f"Ingest files into it to create it."
        )


class CollectionModelError(CollectionError):
    """A collection made by another model, revision, width, dtype, prompt or pixel limit."""

    def __init__(self, name: str, made_by: str, wanted: str, differences: Iterable[str] = ()) -> None:
        self.name, self.made_by, self.wanted = name, made_by, wanted
        self.differences = tuple(differences)
        how = f" ({'; '.join(self.differences)})" if self.differences else ""
        super().__init__(
            f"The collection {name!r} was made by {made_by}; vectors of {wanted} cannot be compared "
            f"with it{how}. Use the model that made it, take a collection of another name, or re-embed this "
            f"one with the other model (Library, or `python -m engine reembed`)."
        )


class VectorFileError(GapscopeError):
    """A file of vectors that cannot be used; `faults` are its first bad rows in words."""

    def __init__(self, file: str, problem: str, faults: Iterable[str] = ()) -> None:
        self.file, self.faults = file, tuple(faults)
        super().__init__(f"{file}: {problem}")


class QuantisedVectorsError(VectorFileError):
    """A file whose vectors are codes of a quantisation: their cosines mean nothing."""


class ExportError(GapscopeError):
    """A file or folder that a data set cannot be written to."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name} {problem}")


class EvaluationError(GapscopeError):
    """A collection in which there is nothing to measure against."""


class ProjectionError(GapscopeError):
    """Vectors or settings of which no map can be made."""


class GapError(GapscopeError):
    """Vectors of which the modality gap cannot be measured, or of which an edit leaves nothing."""


class TowerError(GapscopeError):
    """Pairs of features, or settings, that no two towers can be trained on."""


class JudgementError(GapscopeError):
    """A mark that cannot be kept: of an item or a collection that is not here, or of no known grade."""


class TrecError(JudgementError):
    """A qrels, run or topics file that cannot be taken; the text names the lines and the reasons."""


class ViewFileError(GapscopeError):
    """A file that is not of a view, or not of one that can be opened here."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The file {problem}")


class RayIngestError(GapscopeError):
    """Ray is not installed, out of reach, too small for what is asked, or gave up."""
