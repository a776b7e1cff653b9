"""What a lesson is: its question, what can be expected, its words, and the function that draws its answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from engine.jobs.lesson_computation import lesson_of
from pages.ui import resources, waiting
from pages.ui.gap.address import Controls

if TYPE_CHECKING:
    from engine.progress import Watch
    from engine.report.view_file import Number
    from engine.storage.data_folder import DataFolder
    from engine.workspace import Workspace

SAMPLES, TOWERS = "samples", "two-towers"
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came out: `found` is one of the lesson's choices, "" where none is the right one.

    `said` tells it with its numbers, `about` what they were computed from: n, k, model, seed. `numbers` are
    all that it shows, by name, `seed` that of its draws, `beside` the collections it read beside its own.
    """

    found: str
    said: str
    about: str
    numbers: Mapping[str, Number]
    seed: int
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Where a lesson plays: a workspace, a collection, and the prefix of the keys of its controls."""

    workspace: Workspace
    collection: str
    slug: str

    def key(self, name: str) -> str:
        """Return the key of a control, which is its name in the address too."""
        return f"{self.slug}_{name}"

    def computed(
        self,
        compute: Callable[[DataFolder, str, Watch], T],
        *settings: Hashable,
        title: str,
        quick: bool = True,
    ) -> T | None:
        """Return what is computed of the collection under these settings, or None while it is not there.

        `title` names to people what they wait for.
        """
        task = lesson_of(
            self.workspace, self.collection, (self.slug, *settings), compute, title=title, quick=quick
        )
        if resources.works().find(task) is None:  # asked for by revealing; what failed waits for "Try again"
            resources.works().begin(task)
        found = waiting.results([task], label=title, key=self.key("compute"))
        return None if found is None else found[0]


@dataclass(frozen=True)
class Lesson:
    """One lesson. `draw` draws controls and figures once the answer is asked for, and returns the answer.

    It returns None where there is none yet. `why` are three sentences, `notes` are for who speaks.
    `home` is the collection it plays on unless another is chosen; one that needs none has "". What an address
    may ask for: `ranges` and `one_of` by the names of the controls, `open` names those that may be any words,
    `many` those of which several are chosen.
    """

    number: int
    slug: str
    title: str
    question: str
    choices: tuple[str, ...]
    draw: Callable[[Stage], Answer | None]
    why: tuple[str, str, str]
    paper: str
    trap: str
    notes: str
    home: str = SAMPLES
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    one_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    many: tuple[str, ...] = ()

    @property
    def controls(self) -> Controls:
        """Return its controls, with the collection and what was expected."""
        names = [*self.ranges, *self.one_of, *self.open]
        own = (f"{self.slug}_collection", f"{self.slug}_expected")
        return Controls((*own, *names), self.ranges, {**self.one_of, own[1]: self.choices}, self.many)
