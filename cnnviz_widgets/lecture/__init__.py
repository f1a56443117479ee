"""``main(arguments) -> exit code``: notebooks as pages for the lecture hall, by Voilà and without the internet.

Voilà runs a notebook's cells and shows what they give, without the code; each page that is opened has a kernel of its own.
Its own templates fetch an icon font from other hosts, which is in its scripts already: on a machine that is offline the page
waits for them in vain. The template beside this file, ``cnnviz_lecture``, is Voilà's for JupyterLab without that, with a
progress page to be read from afar.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

JUPYTER_PATH = Path(__file__).parent / "jupyter"
"""What Jupyter's programs search for templates, beside their own places."""
TEMPLATE = "cnnviz_lecture"
EXTENSIONS = ("@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager", "anywidget")
"""What the widgets need; JupyterLab's other extensions are made for a newer one than that inside of Voilà, and fail there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a notebook, or the notebooks of a folder, until Ctrl+C.

    Parameters
    ----------
    arguments
        Those of the command line; None: the program's own.

    Returns
    -------
    int
        1 where Voilà is missing or there is nothing at the given place, else 0.
    """
    given, others = _parser().parse_known_args(arguments)
    if importlib.util.find_spec("voila") is None:
        sys.stderr.write("Voilà is missing, which serves the pages: pip install 'cnnviz_widgets[lecture]'\n")
        return 1
    place = Path(given.place)
    if not place.is_dir() and place.suffix != ".ipynb":
        sys.stderr.write(
            f"{place} was given; expected a notebook, such as notebooks/00_tour.ipynb, or a folder of them\n"
        )
        return 1
    if not place.exists():
        sys.stderr.write(f"there is no notebook {place.absolute()}\n")
        return 1
    _serve([str(place), *others], port=given.port, browser=given.browser, theme="dark" if given.dark else "light")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cnnviz_widgets.lecture",
        description="Show notebooks as pages for a lecture: without their code, and without the internet.",
        epilog="Further options go to Voilà, each written as one word, as --Voila.port_retries=0.",
    )
    parser.add_argument("place", nargs="?", default=".", help="a notebook, or a folder whose notebooks are listed")
    parser.add_argument("--port", type=int, default=8866, help="where the pages are served (8866)")
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")
    parser.add_argument("--dark", action="store_true", help="light on dark")
    return parser


def _serve(arguments: list[str], *, port: int, browser: bool, theme: str) -> None:
    from traitlets.config import Config
    from voila.app import Voila

    places = [str(JUPYTER_PATH), os.environ.get("JUPYTER_PATH", "")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, places))
    config = Config()
    config.Voila.port = port
    config.Voila.open_browser = browser
    config.VoilaConfiguration.template = TEMPLATE
    config.VoilaConfiguration.theme = theme
    # the other list of notebooks is drawn by JupyterLab's file browser, which has folders to rename and files to drop
    config.VoilaConfiguration.classic_tree = True
    # a lecturer is told what went wrong, not to start the server anew with another option
    config.VoilaConfiguration.show_tracebacks = True
    config.VoilaConfiguration.extension_allowlist = list(EXTENSIONS)
    Voila.launch_instance(arguments, config=config)
