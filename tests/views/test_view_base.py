"""What all views share: one message for many traits, and sources that fit the Python side."""

from __future__ import annotations

import re
import threading

import ipywidgets
import pytest
import traitlets

from cnnviz_widgets.views import (
    BarChart,
    FramePlayer,
    Histogram,
    ImageGrid,
    ImageMap,
    ImageUpload,
    LayerTree,
    Note,
    PictureTable,
    Poster,
    Presenter,
)
from cnnviz_widgets.views._base import View, free_route, joined

VIEWS = [
    *(ImageGrid, FramePlayer, LayerTree, BarChart, ImageUpload, Note, PictureTable, Histogram, ImageMap, Poster),
    Presenter,
]
INHERITED = set(ipywidgets.DOMWidget().keys) | {"_anywidget_id", "_esm", "_css"}


@pytest.mark.parametrize("view", VIEWS)
def test_the_script_uses_the_synced_traits_and_no_others(view: type[View]):
    script = view._esm
    own = set(view().keys) - INHERITED
    read = set(re.findall(r'model\.get\("(\w+)"\)', script))
    written = set(re.findall(r'(?:model\.set\(|setTrait\([^,]*, )"(\w+)"', script))
    watched = {
        name for names in re.findall(r"watch\(model,\s*\[([^\]]*)\]", script) for name in re.findall(r'"(\w+)"', names)
    }
    assert read | written | watched == own
    assert written <= watched | {"camera"}  # each page looks where it likes; Python moves them by a message
    assert own == read


@pytest.mark.parametrize("view", VIEWS)
def test_the_script_makes_no_markup_of_text_and_names_no_host(view: type[View]):
    text = view._esm + view._css
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?:|@import|url\(", text)


@pytest.mark.parametrize("view", VIEWS)
def test_names_of_the_joined_files_do_not_clash(view: type[View]):
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", view._esm, flags=re.MULTILINE)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("view", VIEWS)
def test_pixels_and_what_the_page_writes_often_are_not_echoed(view: type[View]):
    for name, trait in view.class_traits(sync=True).items():
        if isinstance(trait, traitlets.Bytes) or name in ("selected", "looking_at"):
            assert trait.metadata["echo_update"] is False, name


def test_a_missing_source_is_an_error():
    with pytest.raises(FileNotFoundError):
        joined("no_such_view.js")


def test_assign_sends_one_message_and_tells_observers():
    chart, sent, seen = BarChart(), [], []
    chart._send = lambda message, buffers=None: sent.append(message)
    chart.observe(lambda change: seen.append(change["name"]), ["labels", "values"])
    chart.assign(labels=["a"], values=[1.0])
    assert [message["state"] for message in sent] == [{"labels": ["a"], "values": [1.0]}]
    assert seen == ["labels", "values"]
    chart.unit = "%"
    assert sent[-1]["state"] == {"unit": "%"}


def test_assign_sets_nothing_if_one_value_is_wrong():
    chart = BarChart()
    with pytest.raises(traitlets.TraitError):
        chart.assign(labels=["a"], values="many")
    with pytest.raises(traitlets.TraitError, match="no synced trait 'label'"):
        chart.assign(labels=["a"], label="b")
    assert chart.labels == []


def test_assign_in_one_thread_does_not_hold_back_another():
    grid, sent = ImageGrid(), []
    grid._send = lambda message, buffers=None: sent.append(set(message["state"]))
    inside, done = threading.Event(), threading.Event()

    def observe(_: object) -> None:
        inside.set()
        done.wait(5)

    grid.observe(observe, "caption")
    worker = threading.Thread(target=lambda: grid.assign(caption="x", tile_names="y"))
    worker.start()
    inside.wait(5)
    grid.selected = 3
    assert sent == [{"selected"}]
    done.set()
    worker.join()
    assert sent == [{"selected"}, {"caption", "tile_names"}]


def test_free_route_leaves_older_kernels_alone_and_frees_newer_ones():
    class Comm:
        def _reply_subshell_for(self, data: object, default: object) -> str:
            return "main"

    class Widget:
        comm = object()

    free_route(Widget())
    free_route(ipywidgets.Button())
    widget = Widget()
    widget.comm = Comm()
    free_route(widget)
    assert widget.comm._reply_subshell_for({}, "subshell") == "subshell"
