"""The import arrows of the design, and imports that stay cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_initkit

PACKAGE = Path(keras_initkit.__file__).parent
HEAVY = ("keras", "tensorflow", "mlflow", "jax", "torch", "matplotlib", "pandas", "scipy", "sklearn")

# cli -> study -> {inspection, model_init, callbacks, tracking} -> {units, initializers} -> pure mathematics -> _checks
RANK = {
    "_checks": 0,
    "_registry": 0,
    "theory": 1,
    "symmetry": 1,
    "convergence": 1,
    "statistics": 1,
    "units": 2,
    "initializers": 2,
    "inspection": 3,
    "tracking": 3,
    "callbacks": 3,
    "study": 4,
    "cli": 5,
}
# Between folders of the same rank: callbacks show what inspection judges and record through tracking.
BESIDE = {("callbacks", "inspection"), ("callbacks", "tracking"), ("tracking", "inspection")}
PURE = {"_checks", "_registry", "theory", "symmetry", "convergence", "statistics"}


def _modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def _part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(source):
    """Yield the dotted names a module imports, wherever the import statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the arrow"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden_arrow(part, imported):
    """Return whether a module of `part` may not import the kit's module `imported`."""
    target = imported.split(".")[1] if imported.count(".") else None
    if target is None or target not in RANK or target == part:
        return False
    return not (RANK[target] < RANK[part] or (part, target) in BESIDE)


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows(path):
    part = _part(path)
    assert part in RANK, f"{part} has no place in the design"
    for imported in _imports(path.read_text("utf-8")):
        root = imported.split(".")[0]
        if root == "keras_initkit":
            assert not forbidden_arrow(part, imported), f"{path.name} imports {imported}"
        if part in PURE:
            assert root in {*sys.stdlib_module_names, "numpy", "scipy", "keras_initkit"}, f"{path.name} imports {root}"
        if root == "mlflow":
            assert part == "tracking", f"{path.name} imports mlflow"


def test_the_arrow_test_finds_forbidden_arrows():
    assert forbidden_arrow("symmetry", "keras_initkit.units.reading")
    assert forbidden_arrow("initializers", "keras_initkit.study")
    assert forbidden_arrow("units", "keras_initkit.initializers")
    assert not forbidden_arrow("study", "keras_initkit.units.reading")
    assert list(_imports("def f():\n    from a.b import c")) == ["a.b", "a.b.c"]


def _loaded_by(code):
    """Return which heavy modules a fresh interpreter has loaded after running `code`."""
    probe = f"{code}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert _loaded_by("import keras_initkit; keras_initkit.__version__; dir(keras_initkit)") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["compare", "--help"], ["inspect", "--help"]], ids=" ".join
)
def test_help_and_list_load_nothing_heavy(arguments):
    code = (
        "from keras_initkit.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit as done: assert done.code == 0, done.code"
    )
    assert _loaded_by(code) == set()


def test_the_probe_finds_heavy_modules():
    assert "scipy" in _loaded_by("import keras_initkit; keras_initkit.symmetry.unit_similarity")
    assert "matplotlib" in _loaded_by("import matplotlib")


def test_results_are_read_without_keras():
    code = "from keras_initkit import StudyResults; StudyResults.load"
    assert not {"keras", "tensorflow", "mlflow"} & _loaded_by(code)
