"""What holds for every member of every family, whoever wrote it: a new class is tested without a new test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from cnnviz_widgets.engine import objectives, parameterizations, projections, recipes, regularizers, steppers
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.knobs import Family, Knob, knob, knobs_of
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.objectives import Objective
from cnnviz_widgets.engine.parameterizations import Parameterization
from cnnviz_widgets.engine.projections import Projection
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Progress, Stepper

FAMILIES: tuple[type[Family], ...] = (Regularizer, Parameterization, Stepper, Projection)
SPACE = {**vars(parameterizations), **vars(regularizers), **vars(steppers), **vars(projections)}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def values_of(told: Knob, default: Any) -> list[Any]:
    """The default and what a control can be moved to at its ends."""
    if told.choices:
        return list(told.choices)
    if isinstance(default, bool):
        return [False, True]
    return [default, *(type(default)(end) for end in (told.low, told.high) if end is not None)]


def variants(kind: type[Any]) -> list[Any]:
    """The member as it comes, and with each knob at each end of its control."""
    plain = kind()
    found = [plain]
    for name, told in knobs_of(kind).items():
        found += [kind(**{name: value}) for value in values_of(told, getattr(plain, name))]
    return list(dict.fromkeys(found))


def members(*families: type[Family]) -> list[Any]:
    return [
        pytest.param(one, id=repr(one)) for family in families for kind in family.members() for one in variants(kind)
    ]


def images(seed: int, dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (3, 3, 9, 12)) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def acted(prior: Regularizer, moment: str, first: Tensor, second: Tensor) -> Tensor:
    """The moment's answer; a transformation gets one image at a time, each with the same random numbers."""
    if moment == "transform":
        made = [prior.transform(image, torch.Generator().manual_seed(7)) for image in first.split(1)]
        return torch.cat(made)
    if moment == "project":
        return prior.project(first - 0.5, second - 0.5, 0)
    return getattr(prior, moment)(first)


@pytest.mark.parametrize("member", members(*FAMILIES))
def test_the_repr_is_code_and_the_data_goes_both_ways(member: Any) -> None:
    assert eval(repr(member), {**SPACE, type(member).__name__: type(member)}) == member
    family = next(family for family in FAMILIES if isinstance(member, family))
    data = json.loads(json.dumps(member.to_data()))
    assert family.from_data(data) == member
    assert hash(family.from_data(data)) == hash(member)
    with pytest.raises(AttributeError):
        member.every = 3


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=kind.__name__) for family in FAMILIES for kind in family.members()]
)
def test_defaults_lie_within_their_controls(kind: type[Any]) -> None:
    assert kind.__doc__
    plain = kind()
    for name, told in knobs_of(kind).items():
        default = getattr(plain, name)
        if told.choices:
            assert default in told.choices
        elif not isinstance(default, bool | str):
            assert told.low is not None, f"{kind.__name__}.{name} has no lower end for its slider"
            assert told.high is not None, f"{kind.__name__}.{name} has no upper end for its slider"
            assert told.low <= default <= told.high
            assert told.low < told.high


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("prior", members(Regularizer))
def test_a_regularizer_keeps_shape_and_type_and_changes_nothing_in_place(
    prior: Regularizer, dtype: torch.dtype
) -> None:
    assert prior.moments()
    for shape in ((3, 3, 9, 12), (2, 1, 7, 7), (1, 5, 1, 2)):
        first, second = images(0, dtype, shape), images(1, dtype, shape)
        kept = first.clone(), second.clone()
        for moment in prior.moments():
            made = acted(prior, moment, first, second)
            if moment in ("condition", "project"):
                assert made.shape == first.shape
            assert len(made) == len(first)
            assert made.dtype == dtype
            assert made.device == first.device
            assert made.isfinite().all()
        assert torch.equal(first, kept[0])
        assert torch.equal(second, kept[1])


@pytest.mark.parametrize("prior", members(Regularizer))
def test_a_regularizer_repeats_and_keeps_the_images_of_a_batch_apart(prior: Regularizer) -> None:
    first, second = images(2), images(3)
    torch.manual_seed(1)
    made = {moment: acted(prior, moment, first, second) for moment in prior.moments()}
    torch.manual_seed(2)
    for moment, together in made.items():
        assert torch.equal(acted(prior, moment, first, second), together)
        for number in range(len(first)):
            chosen = slice(number, number + 1)
            assert torch.allclose(acted(prior, moment, first[chosen], second[chosen]), together[chosen], atol=1e-6)
        others = first.clone()
        others[1:] = 1 - others[1:]
        assert torch.equal(acted(prior, moment, others, second)[0], together[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("way", members(Parameterization))
def test_a_parameterization_writes_down_what_it_can_read(way: Parameterization, dtype: torch.dtype) -> None:
    for channels in (1, 3, 5):
        neutral = torch.linspace(0.3, 0.6, channels, dtype=dtype).view(-1, 1, 1)
        image = images(4, dtype, (2, channels, 9, 12)) * 0.9 + 0.05
        if way.lossless:
            assert torch.allclose(way.decode(way.encode(image, neutral), neutral), image, atol=1e-4)
            latent = way.from_around_neutral(image - neutral, neutral)
            assert torch.allclose(way.around_neutral(latent, neutral) + neutral, image, atol=1e-4)
        start = way.init((channels, 9, 12), neutral, torch.Generator().manual_seed(1))
        assert torch.equal(start, way.init((channels, 9, 12), neutral, torch.Generator().manual_seed(1)))
        shown = way.decode(way.constrain(start, neutral), neutral)
        assert shown.shape == (1, channels, 9, 12)
        assert shown.dtype == dtype
        assert -1e-5 <= shown.min() <= shown.max() <= 1 + 1e-5
        wild = way.decode(way.constrain(torch.full_like(start, 1e4), neutral), neutral)
        assert -1e-5 <= wild.min() <= wild.max() <= 1 + 1e-5


@pytest.mark.parametrize("way", members(Parameterization))
def test_a_parameterization_lets_the_gradient_through(way: Parameterization) -> None:
    neutral = torch.full((3, 1, 1), 0.5)
    latent = way.encode(images(5) * 0.5 + 0.25, neutral).requires_grad_()
    way.decode(latent, neutral).sum().backward()
    assert latent.grad is not None
    assert latent.grad.isfinite().all()
    assert latent.grad.any()


@pytest.mark.parametrize("stepper", members(Stepper))
def test_a_stepper_goes_uphill_for_each_image_on_its_own(stepper: Stepper) -> None:
    gradient, score = images(6) - 0.5, torch.tensor([1.0, -2.0, 0.0])
    update = stepper.update(gradient, score, {})
    assert update.shape == gradient.shape
    assert update.isfinite().all()
    assert ((update * gradient).flatten(1).sum(1) > 0).all()
    for number in range(3):
        alone = stepper.update(gradient[number : number + 1], score[number : number + 1], {})
        assert torch.allclose(alone[0], update[number], rtol=1e-5)
    assert stepper.update(torch.zeros_like(gradient), score, {}).isfinite().all()
    assert stepper.update(gradient.double(), score.double(), {}).dtype == torch.float64


@pytest.mark.parametrize("stepper", members(Stepper))
def test_a_stepper_remembers_each_image_on_its_own(stepper: Stepper) -> None:
    together: dict[str, Tensor] = {}
    alone: list[dict[str, Tensor]] = [{}, {}, {}]
    resumed: dict[str, Tensor] | None = None
    for step in range(4):
        gradient = images(10 + step, torch.float64) - 0.5
        score = images(20 + step, torch.float64)[:, 0, 0, 0]
        kept = gradient.clone(), score.clone()
        update = stepper.update(gradient, score, together)
        assert torch.equal(gradient, kept[0])
        assert torch.equal(score, kept[1])
        assert all(len(remembered) == 3 for remembered in together.values())
        for number in range(3):
            one = slice(number, number + 1)
            single = stepper.update(gradient[one], score[one], alone[number])
            assert torch.allclose(single[0], update[number], rtol=1e-9)
        if resumed is not None:
            assert torch.equal(stepper.update(gradient, score, resumed), update)
        # nothing of a step is written into what the one before has left
        resumed = {name: remembered.clone() for name, remembered in together.items()}
        before = dict(together)
        stepper.update(gradient, score, dict(together))
        assert all(torch.equal(before[name], resumed[name]) for name in resumed)


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        grey = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 6, 3),
            torch.nn.Flatten(),
            torch.nn.Linear(6 * 36, 5),
        )
        deep = resnet18()
    spec = InputSpec(size=(3, 48, 40), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return {"grey": Network(grey, InputSpec(size=(1, 8, 8))), "resnet18": Network(deep.eval(), spec)}


def goals(net: Network) -> dict[str, Objective]:
    """One of each kind of objective there is."""
    # a convolution's own output: behind a ReLU a unit may be off
    hidden, output = net.convolutions[1], net.output
    channel, centre = objectives.activation(hidden[1]), objectives.activation(hidden[2, "center"])
    found = {
        "channel": channel,
        "neuron": centre,
        "logit": objectives.activation(output[2]),
        "weighted": 0.5 * channel,
        "negative": -channel,
        "sum": channel + centre,
        "difference": objectives.activation(output[2]) - 0.3 * objectives.activation(output[3]),
        "two layers": channel - 0.1 * objectives.activation(output[2]),
        "largest": objectives.activation(hidden[1], reduce="max"),
        "before the nonlinearity": objectives.activation(net.convolutions[0][2], at="pre"),
        "class": objectives.probability(output[1]),
        "odds": objectives.activation(output[1]) - objectives.others(output[1], "logsumexp"),
        "alone": centre - 0.5 * objectives.others(hidden[2, "center"]),
        "layer": objectives.deep_dream(hidden),
        "direction": objectives.direction(hidden, torch.linspace(-1, 1, hidden.channels), cosine_power=1),
        "apart": objectives.diversity(hidden),
        "together apart": channel + 0.1 * objectives.diversity(hidden),
    }
    covered = {kind for goal in found.values() for kind in kinds_in(goal)}
    assert covered == set(Objective.members()), "an objective is not covered: add one of its kind above"
    return found


def kinds_in(goal: Objective) -> set[type[Objective]]:
    return {type(goal)}.union(*(kinds_in(inner) for inner in goal._inner()))


@pytest.mark.parametrize("name", ["grey", pytest.param("resnet18", marks=pytest.mark.long)])
def test_every_objective_rises_in_a_few_steps(networks: dict[str, Network], name: str) -> None:
    net = networks[name]
    for kind, goal in goals(net).items():
        copies = 2 if goal.together else 1
        start, *_, end = ascend(net, goal, "none", stepper=Progress(0.02), steps=4, copies=copies)
        assert float(end.score.sum()) > float(start.score.sum()), kind
        assert not any(end.notes)
        assert set(goal.layers) <= set(net.layers)
        assert Objective.read(json.loads(json.dumps(goal.to_data())), net) == goal


@pytest.mark.parametrize("name", ["grey", "resnet18"])
def test_every_objective_keeps_its_images_apart(networks: dict[str, Network], name: str) -> None:
    net = networks[name]
    generator = torch.Generator().manual_seed(2)
    batch = torch.rand((3, *net.input.size), generator=generator)
    for kind, goal in goals(net).items():
        bound = goal.bound(net)
        with net.recording(bound.layers) as record:
            seen = batch.clone().requires_grad_()
            scores = bound(record(seen))
            assert scores.shape == (3,), kind
            (slope,) = torch.autograd.grad(scores[1], seen)
            others = slope[[0, 2]].any()
            assert bool(others) == goal.together, kind
            assert slope[1].any(), kind


@pytest.mark.parametrize("recipe", recipes.names())
@pytest.mark.parametrize("name", ["grey", pytest.param("resnet18", marks=pytest.mark.long)])
def test_every_recipe_climbs_on_every_network(networks: dict[str, Network], name: str, recipe: str) -> None:
    net = networks[name]
    frames = list(ascend(net, [net.output[1], net.main_layers[1][0]], recipe, steps=3))
    assert [frame.step for frame in frames] == [0, 1, 2, 3]
    for frame in frames:
        assert frame.image.isfinite().all()
        assert 0 <= frame.image.min() <= frame.image.max() <= 1
        assert frame.score.isfinite().all()
    assert not torch.equal(frames[0].image, frames[3].image)
    assert frames[3].notes == ("", "")


@pytest.mark.parametrize("prior", members(Regularizer))
def test_every_regularizer_climbs_at_each_end_of_its_sliders(networks: dict[str, Network], prior: Regularizer) -> None:
    net = networks["grey"]
    *_, end = ascend(net, net.output[1], "none", regularizers=[prior], stepper=Progress(0.02), steps=3, chunk=2)
    assert end.step == 3
    assert end.image.isfinite().all()
    assert Recipe.from_json(Recipe(regularizers=(prior,)).to_json()).regularizers == (prior,)


CELL = """
@dataclass(frozen=True)
class Tint(Regularizer):
    '''All a little brighter, by chance.'''

    amount: float = knob({default}, low=0.0, high=0.5)
    hard: bool = knob(False)
    how: str = knob("add", choices=("add", "multiply"))

    def transform(self, image, generator):
        drawn = self.amount * torch.rand((), generator=generator).to(image)
        return image + drawn if self.how == "add" else image * (1 + drawn)

    def condition(self, gradient):
        return gradient.sign() if self.hard else gradient
"""


def run_cell(default: float) -> type[Any]:
    space = {"dataclass": dataclass, "Regularizer": Regularizer, "knob": knob, "torch": torch, "__name__": "__main__"}
    exec(CELL.format(default=default), space)
    return space["Tint"]


def test_a_class_from_a_notebook_cell_is_one_of_them(networks: dict[str, Network]) -> None:
    try:
        former, kind = run_cell(0.1), run_cell(0.2)
        assert list(Regularizer.members()).count(kind) == 1
        assert former not in set(Regularizer.members())
        assert kind() == kind(0.2) != former()
        found = variants(kind)
        assert {one.how for one in found} == {"add", "multiply"}
        test_defaults_lie_within_their_controls(kind)
        for one in found:
            test_the_repr_is_code_and_the_data_goes_both_ways(one)
            test_a_regularizer_keeps_shape_and_type_and_changes_nothing_in_place(one, torch.float64)
            test_a_regularizer_repeats_and_keeps_the_images_of_a_batch_apart(one)
            test_every_regularizer_climbs_at_each_end_of_its_sliders(networks, one)
    finally:
        Regularizer.registry.pop("Tint", None)
