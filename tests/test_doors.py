"""The doors between the parts of the package: who may import whom, and what is shipped.

The engine works without a widget library, the views work without torch, and panels do not know each other, so that
each part can be read, tested and replaced alone.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "cnnviz_widgets"
FILES = sorted(PACKAGE.rglob("*.py"))
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def module_name(path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path, nodes: Iterator[ast.AST] | None = None) -> set[str]:
    """Absolute dotted names that a file imports anywhere, its functions included.

    ``from a import b`` counts as ``a.b``, for ``b`` may be a module.
    """
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    names: set[str] = set()
    for node in nodes or ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def within(name: str, *modules: str) -> bool:
    """Whether a dotted name is one of these modules or lies in one."""
    return any(name == module or name.startswith(module + ".") for module in modules)


def files_of(part: str) -> list[Path]:
    return sorted((PACKAGE / part).rglob("*.py"))


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def mentions(path: Path, dotted: str) -> bool:
    """Whether code spells out that dotted name, as an attribute or in an import."""
    if any(within(name, dotted) for name in imported(path)):
        return True
    attributes = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute))
    return any(within(ast.unparse(node), dotted) for node in attributes)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


@pytest.mark.parametrize("part", ["engine", "views"])
def test_engine_and_views_import_nothing_else_of_ours(part: str) -> None:
    own = f"cnnviz_widgets.{part}"
    foreign = {
        f"{module_name(path)} imports {name}"
        for path in files_of(part)
        for name in imported(path)
        if within(name, "cnnviz_widgets") and not within(name, own)
    }
    assert not foreign


def test_views_do_not_import_torch() -> None:
    assert not [
        path.name for path in files_of("views") if any(within(n, "torch", "torchvision") for n in imported(path))
    ]


def test_engine_imports_no_widget_library() -> None:
    libraries = ("ipywidgets", "anywidget", "traitlets", "matplotlib.pyplot")
    assert not [path.name for path in files_of("engine") if any(within(n, *libraries) for n in imported(path))]


def test_figures_import_the_engine_and_no_widget_library() -> None:
    foreign = {
        f"{module_name(path)} imports {name}"
        for path in files_of("figures")
        for name in imported(path)
        if within(name, "ipywidgets", "anywidget", "traitlets", "matplotlib.pyplot", "matplotlib.pylab")
        or (within(name, "cnnviz_widgets") and not within(name, "cnnviz_widgets.engine", "cnnviz_widgets.figures"))
    }
    assert files_of("figures")
    assert not foreign


def test_engine_and_views_do_not_know_the_figures() -> None:
    files = [*files_of("engine"), *files_of("views")]
    assert not [path.name for path in files if any(within(name, "cnnviz_widgets.figures") for name in imported(path))]


def test_figures_come_with_their_first_use() -> None:
    done = run_python("import sys, cnnviz_widgets.panels; print('cnnviz_widgets.figures' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_panels_do_not_import_each_other() -> None:
    panels = "cnnviz_widgets.panels"
    public = {module_name(path) for path in files_of("panels") if not path.name.startswith("_")}
    friends = {
        f"{module_name(path)} imports {name}"
        for path in files_of("panels")
        if path.name != "__init__.py"
        for name in imported(path)
        if within(name, *public) or (name.rpartition(".")[0] == panels and name not in _private_panel_modules())
    }
    assert not friends


def _private_panel_modules() -> set[str]:
    return {module_name(path) for path in files_of("panels") if path.name.startswith("_")}


def test_only_sources_knows_the_model_zoos() -> None:
    knowing = [path for path in FILES if mentions(path, "torchvision.models") or mentions(path, "timm")]
    assert [module_name(path) for path in knowing] in ([], ["cnnviz_widgets.engine.sources"])


def test_sources_imports_the_model_zoos_inside_functions() -> None:
    path = PACKAGE / "engine" / "sources.py"
    at_import = imported(path, outside_functions(tree(path)))
    assert not [name for name in at_import if within(name, "timm", "torchvision.models")]


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [str(path) for path in FILES if set(path.relative_to(PACKAGE).with_suffix("").parts) & VAGUE_NAMES]


def test_engine_does_not_print() -> None:
    def prints(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"

    assert not [path.name for path in files_of("engine") if any(prints(node) for node in ast.walk(tree(path)))]


def test_engine_works_without_the_widget_libraries() -> None:
    done = run_python(
        "import sys; sys.modules['ipywidgets'] = sys.modules['anywidget'] = None\n"
        "import cnnviz_widgets, cnnviz_widgets.engine\n"
    )
    assert done.returncode == 0, done.stderr


def test_import_leaves_slow_libraries_alone() -> None:
    slow = ("ipywidgets", "anywidget", "matplotlib.pyplot", "cnnviz_widgets.figures", "timm", "torchvision.models")
    done = run_python(f"import sys, cnnviz_widgets; print([name for name in {slow} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The package as it is installed, built without the internet from a copy that holds the tests too."""
    copy = tmp_path_factory.mktemp("source") / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    for folder in ("cnnviz_widgets", "tests"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    target = copy.parent / "wheels"
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-w", str(target)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(target.glob("*.whl"))) as archive:
        yield archive


def test_wheel_holds_what_the_package_needs_and_no_tests(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    views = PACKAGE / "views"
    needed = {*FILES, PACKAGE / "py.typed", *views.glob("*.js"), *views.glob("*.css")}
    needed |= {path for path in (PACKAGE / "lecture" / "jupyter").rglob("*") if path.is_file()}
    assert held == {path.relative_to(REPOSITORY).as_posix() for path in needed}


def test_wheel_names_every_dependency(wheel: zipfile.ZipFile) -> None:
    """A dependency table in the wrong file is dropped without a word."""
    metadata_name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    named = Parser().parsestr(wheel.read(metadata_name).decode()).get_all("Requires-Dist") or []
    found = {(r.name, str(r.specifier)) for r in map(Requirement, named) if r.marker is None}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {(r.name, str(r.specifier)) for r in map(Requirement, project["dependencies"])}
    assert wanted
    assert found == wanted
    extras = {str(r.marker) for r in map(Requirement, named) if r.marker is not None}
    assert extras == {f'extra == "{extra}"' for extra in project["optional-dependencies"]}
