"""``Atlas.build(network) -> atlas``: synthesized images of units of every layer, then answers without another step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pool import Makes, check_executor
from cnnviz_widgets.engine.progress import Progress, counted
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.store import StoreError

from .building import Build
from .choosing import At, Given, Units, choose
from .plan import Place, Plan
from .shelf import Shelf, made_of, networks_in, plan_in
from .tile import Tile, tile_of

COARSE = 16


@dataclass(frozen=True)
class Fault:
    """A unit that there is no image of by a recipe, and why."""

    unit: Unit
    recipe: str
    reason: str


class Atlas:
    """Synthesized images of units of many layers, each by one or several recipes.

    Made by `build` or `building`, found again by `open`. It also answers while it is not complete: then with the images so far,
    many of them on their way.

    Attributes
    ----------
    network, digest
        What it was made with, and the digest of the weights and preprocessing.
    plan
        Which units by which recipes.
    path
        The folder it is kept in; None in memory.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> atlas = Atlas.build(net, units=2, steps=20)
    >>> [layer.name for layer in atlas.layers], atlas.units("1")
    (['1', '3'], (1[0, center], 1[1, center]))
    >>> tile = atlas.image(net["1"][0])
    >>> tile.picture.size, tile.finished, atlas.receptive_size("3")
    ((3, 3), True, (8, 8))
    >>> atlas
    Atlas of Sequential: 4 images of 4 units of 2 layers by default
    """

    def __init__(
        self,
        network: Network,
        plan: Plan,
        shelf: Shelf,
        digest: str,
        failed: dict[str, str] | None = None,
    ) -> None:
        self.network, self.plan, self.digest = network, plan, digest
        self._shelf, self._failed = shelf, failed or {}
        self.path = None if shelf.folder is None else shelf.folder.path

    @classmethod
    def build(
        cls,
        network: Network,
        layers: Sequence[str | Layer] | str | Layer | None = None,
        units: Units = 9,
        recipes: Given = None,
        path: str | Path | None = None,
        executor: Executor | Makes | None = None,
        **settings: Any,
    ) -> Atlas:
        """Synthesize, or go on with what is at ``path`` already. Takes what `building` takes."""
        atlas = None
        for progress in cls.building(network, layers, units, recipes, path, executor, **settings):
            atlas = progress.result
        assert atlas is not None
        return atlas

    @classmethod
    def building(
        cls,
        network: Network,
        layers: Sequence[str | Layer] | str | Layer | None = None,
        units: Units = 9,
        recipes: Given = None,
        path: str | Path | None = None,
        executor: Executor | Makes | None = None,
        *,
        class_recipes: Given = None,
        at: At | None = None,
        steps: int | None = None,
        coarse: int = COARSE,
        chunk: int | None = None,
        seed: int = 0,
        device: str | None = None,
        threads: int | None = None,
    ) -> Iterator[Progress[Atlas]]:
        """Synthesize, step by step: progress, in steps of single images, with the atlas of what there is.

        First every image climbs a few steps, then each to its end; both times chunks are begun in the order of the layers. To
        stop is to ask no more. With a ``path`` the next call goes on after the last images that were finished, also when the
        process was killed, and ends with the same bytes as if nothing had happened. More units or recipes later cost only
        themselves.

        Parameters
        ----------
        layers
            Which ones; None: the main layers, the output among them.
        units
            How many of each layer: the first channels, of the output classes that are spread evenly. Or a mapping of layers to
            numbers or lists of channels or units; or a list of units.
        recipes
            Names, `Recipe` values, or a mapping of names to these; each unit is shown by each. ``"default"``, or None: one that
            suits what the unit sees.
        class_recipes
            Recipes for the units of the output alone, such as the four of Yosinski et al. 2015, ``["yosinski-1", "yosinski-2",
            "yosinski-3", "yosinski-4"]``; None: ``recipes``.
        path
            A folder to keep it in. Each combination of weights and preprocessing has its own folder in it.
        executor
            Synthesizes elsewhere: any ``concurrent.futures.Executor``, such as Dask's ``client.get_executor()``, or a function
            that makes one, which is called again if its workers die. A process pool must not fork.
        at
            How a channel is shown: ``"center"``, by its middle neuron, an image as large as what that sees; ``"channel"``, by the
            mean over its map; None: by the neuron where it sees less than the whole input. A unit is shown as it is given, unless
            it has no position and this is not None.
        steps
            How many each recipe makes; None: its own number. The papers' recipes make up to 1000.
        coarse
            After how many steps every image is shown for the first time; 0: only when it is finished.
        chunk
            How many images go through the network together; None: by their size. Another number changes the last bits.
        seed
            Takes the place of the recipes' own.
        device
            Of the workers of an executor; None: as here.
        threads
            How many of torch's threads compute a chunk on a CPU; None: one. The number decides the last bits. Without an executor
            as many chunks climb side by side as torch has threads for, up to 8, and take the memory of as many;
            ``executor=ThreadPoolExecutor(2)`` has two. A module that can't be copied is run for one chunk at a time.

        Raises
        ------
        UnknownNameError, IndexError, ValueError
            A layer, unit or recipe that there is none of; numbers out of range.
        TypeError
            No executor; units or recipes that are none; a network or a recipe that can't be sent to workers.
        StoreError
            The folder can't be written, or another process builds there.
        BuildError
            Workers failed, or the weights changed meanwhile.
        """
        check_executor(executor)
        if threads is not None and not (isinstance(threads, int) and threads >= 1):
            raise ValueError(f"threads={threads!r}; expected a whole number from 1, or None")
        plan = choose(
            network, layers, units, recipes, class_recipes, at=at, steps=steps, coarse=coarse, chunk=chunk, seed=seed
        )  # fmt: skip
        build = Build(network, plan, path=path, device=device, threads=threads)
        with build.opened():
            atlas, version = cls._of(build), build.version
            told = f"Goes on after {build.done:,} steps that were done before." if 0 < build.done < build.total else ""
            yield build.progress(atlas, told)
            for _ in build.steps(executor):
                if version != build.version:
                    atlas, version = cls._of(build), build.version
                yield build.progress(atlas, told)

    @classmethod
    def _of(cls, build: Build) -> Atlas:
        return cls(build.network, build.plan, build.shelf.copy(), build.digest, dict(build.failed))

    @classmethod
    def open(cls, path: str | Path, network: Network) -> Atlas:
        """The atlas that was built last at ``path`` with these weights, complete or not; nothing is synthesized.

        Raises
        ------
        StoreError
            There is none, or only of other weights; the text tells the difference.
        """
        digest = network.digest()
        wanted = made_of(network, digest)
        present = networks_in(path)
        shelf = Shelf.at(path, wanted)
        assert shelf.folder is not None
        if shelf.folder.path not in [folder.absolute() for folder, _ in present]:
            raise StoreError(_missing(Path(path), present, wanted))
        shelf.look()
        return cls(network, plan_in(shelf, network), shelf, digest)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that are shown, in execution order."""
        return self.plan.layers

    @property
    def recipes(self) -> tuple[str, ...]:
        """The names of all recipes."""
        return self.plan.recipes

    def recipes_of(self, layer: str | Layer) -> tuple[str, ...]:
        """The names of the recipes that a layer's units are shown by.

        Raises
        ------
        ValueError
            The layer is not in the atlas.
        """
        return self.plan.recipes_of(self.units(layer)[0].layer.name)

    def units(self, layer: str | Layer) -> tuple[Unit, ...]:
        """The units of a layer, as they were asked for; without a position for a whole channel.

        Raises
        ------
        ValueError
            The layer is not in the atlas.
        """
        name = layer.name if isinstance(layer, Layer) else layer
        if name not in self.plan.units:
            raise ValueError(f"{name!r} is not in the atlas, which shows {', '.join(self.plan.units)}")
        return self.plan.units[name]

    def place(self, unit: Unit, recipe: str | None = None) -> Place:
        """What was asked for of a unit: its recipe, what is climbed, what it sees.

        Parameters
        ----------
        unit
            One of `units`, or the channel of one.
        recipe
            One of `recipes_of` its layer; None: the first.

        Raises
        ------
        ValueError
            The atlas does not show that.
        """
        known, recipes = self.units(unit.layer), self.recipes_of(unit.layer)
        name = recipes[0] if recipe is None else recipe
        if name not in recipes:
            raise ValueError(f"{recipe!r} is not in the atlas, which shows {unit.layer.name} by {', '.join(recipes)}")
        found = unit if unit in known else next(
            (one for one in known if unit.position is None and one.channel == unit.channel), None
        )  # fmt: skip
        if found is None:
            raise ValueError(
                f"{unit} is not in the atlas, which shows of that layer {', '.join(map(str, known[:20]))}"
                f"{', …' if len(known) > 20 else ''}; Atlas.build(net, units={{{unit.layer.name!r}: [...]}}) shows others"
            )
        return self.plan[found, name]

    def image(self, unit: Unit, recipe: str | None = None) -> Tile | None:
        """The newest image of a unit; None where there is none yet, or never will be, which `faults` tells.

        Parameters
        ----------
        unit
            One of `units`, or the channel of one.
        recipe
            One of `recipes_of` its layer; None: the first.

        Raises
        ------
        ValueError
            The atlas does not show that.
        StoreError
            The image's file is damaged.
        """
        place = self.place(unit, recipe)
        if self._shelf.kind(place.key) not in ("coarse", "final"):
            return None
        data = self._shelf.read(place.key)
        if self._shelf.kind(place.key) == "fault":
            return None
        try:
            return tile_of(place, self.label(place.unit), data)
        except ValueError as error:
            raise StoreError(f"the image of {place.unit} can't be read: {error}; build again to mend it") from error

    def step(self, unit: Unit, recipe: str | None = None) -> int:
        """At which step the newest image of a unit was taken; -1 where there is none. No image is read."""
        place = self.place(unit, recipe)
        last = place.recipe.steps
        return {"final": last, "coarse": min(self.plan.coarse, last)}.get(self._shelf.kind(place.key) or "", -1)

    def fault(self, unit: Unit, recipe: str | None = None) -> str:
        """Why there is no image of a unit; empty where there is one, or none yet."""
        return self._fault_of(self.place(unit, recipe))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Units without an image, each with the reason; in the order of the layers."""
        told = ((place, self._fault_of(place)) for place in self.plan)
        return tuple(Fault(place.unit, place.name, reason) for place, reason in told if reason)

    def _fault_of(self, place: Place) -> str:
        if self._shelf.kind(place.key) == "fault":
            return self._shelf.read(place.key).decode(errors="replace")
        return self._failed.get(place.key, "") if self._shelf.kind(place.key) != "final" else ""

    @property
    def total(self) -> int:
        """How many images it is to have."""
        return len(self.plan)

    @property
    def finished(self) -> int:
        """How many images are finished, those that can't be made among them."""
        return sum(self._shelf.kind(place.key) in ("final", "fault") for place in self.plan)

    @property
    def complete(self) -> bool:
        """Whether all images are finished."""
        return self.finished == self.total

    def receptive_size(self, layer: str | Layer) -> tuple[int, int]:
        """Height and width in input pixels of what a layer's units see; of the largest that is shown, where they differ."""
        sizes = [self.place(unit).size for unit in self.units(layer)]
        return max(size[0] for size in sizes), max(size[1] for size in sizes)

    def recipe(self, unit: Unit, recipe: str | None = None) -> Recipe:
        """How a unit's image climbs, with the atlas's seed, chunk and steps."""
        return self.place(unit, recipe).recipe

    def label(self, unit: Unit) -> str:
        """A class's name for a unit of the output, else the unit as typed."""
        if unit.layer == self.network.output and self.network.labels and unit.position is None:
            return self.network.label(unit.channel)
        return repr(unit)

    def outdated(self) -> str:
        """Why it does not tell of the network as it is now, in a sentence; empty where it does."""
        if self.network.digest() != self.digest:
            return "The weights are no longer those that the atlas was built with."
        return ""

    def __repr__(self) -> str:
        count = sum(map(len, self.plan.units.values()))
        state = "" if self.complete else f", {self.finished:,} of them finished so far"
        bad = f", {len(self.faults)} could not be made" if self.faults else ""
        return (
            f"Atlas of {self.network.name}: {counted(self.total, 'image')} of {counted(count, 'unit')} of "
            f"{counted(len(self.layers), 'layer')} by {', '.join(self.recipes)}{state}{bad}"
        )


def _missing(path: Path, present: list[tuple[Path, dict[str, Any]]], wanted: dict[str, Any]) -> str:
    if not present:
        return f"no atlas at {str(path)!r}; cnn.Atlas.build(net, path=...) makes one"
    told = [f"{folder.name} is {_difference(found, wanted)}" for folder, found in present]
    return f"no atlas at {str(path)!r} fits: {'; '.join(told)}. cnn.Atlas.build makes one that does"


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    if found.get("schema") != wanted["schema"]:
        return "written by another version of this package"
    if found.get("weights") != wanted["weights"]:
        return "of other weights or preprocessing"
    return f"of another module with the same weights, {found.get('module')}"
