"""The shape of the package: who may import whom, what stays light, how long a file may be, what is never called."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from python_tests.conftest import ROOT

PACKAGE = ROOT / "wtal_fast"
FOLDERS = ("wtal_fast", "bench", "python_tests", "scripts")
PYTHON = [ROOT / "setup.py", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
NATIVE = sorted(path for suffix in ("h", "cuh", "cpp", "cu") for path in (ROOT / "csrc").rglob(f"*.{suffix}"))

# The part of the package a module belongs to -> the parts it may import. A part is a folder or a module of wtal_fast.
BASE = {"errors", "seals", "files", "structures", "ranges", "config", "preset_files"}
MIDDLE = {"models", "losses", "data", "localization", "evaluation"}
MAY_IMPORT = {
    "errors": set(),
    "seals": {"errors"},
    "files": {"errors", "seals"},
    "structures": {"errors"},
    "ranges": set(),
    "config": BASE,
    "preset_files": BASE,
    "ops": {"ops", "errors"},
    "evaluation": {"evaluation", *BASE},  # not ops: evaluation runs without torch
    **{part: {part, "ops", *BASE} for part in MIDDLE - {"evaluation"}},
    "engine": {"engine", "ops", "", *BASE, *MIDDLE},  # "": the version
    "report": {"report", "ops", *BASE, *MIDDLE},
    "compat": {"compat", "ops", "evaluation", "structures", "errors", "files"},
    "cli": {"cli", "compat", "ops", "engine", "report", "", *BASE, *MIDDLE},
    "__main__": {"cli"},
    "": {"compat", "ops", "engine", "report", *BASE, *MIDDLE},  # wtal_fast/__init__.py, lazily
}

CORE_DEPENDENCIES = {"torch", "numpy", "typer", "pydantic", "yaml", "rich", "safetensors", "jinja2"}
EXTRAS = {"matplotlib", "av", "starlette", "uvicorn", "h5py", "tensorboard", "triton", "ray"}
LIGHT = [
    "wtal_fast", "wtal_fast.structures", "wtal_fast.errors", "wtal_fast.seals", "wtal_fast.files", "wtal_fast.ranges",
    "wtal_fast.config",
    "wtal_fast.data", "wtal_fast.data.annotations", "wtal_fast.evaluation", "wtal_fast.cli", "wtal_fast.cli.main",
]


def part_of(path: Path) -> str:
    """The folder or module of wtal_fast that `path` belongs to; "" for its __init__."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py") if first != "__init__.py" else ""


def name_of(path: Path) -> str:
    """The dotted module name of a file of the project."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> list[tuple[str, bool, int]]:
    """(dotted name, at import time?, line) of every import outside `if TYPE_CHECKING`, relative ones resolved."""
    found = []

    def visit(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            whole = base in ("wtal_fast", "bench")  # `from wtal_fast import ops` names a part
            found.extend((f"{base}.{alias.name}" if whole else base, top, node.lineno) for alias in node.names)
        inside = top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def imported_part(dotted: str) -> str:
    """The part of wtal_fast that `wtal_fast.x.y` names; "" for an attribute of wtal_fast itself."""
    part = dotted.split(".")[1] if "." in dotted else ""
    return part if part in MAY_IMPORT or part.startswith("_") and not part.startswith("__") else ""


def forbidden_imports(path: Path) -> list[str]:
    """What `path` imports of wtal_fast against the arrows; compiled modules (wtal_fast._C...) are open to all."""
    part, wrong = part_of(path), []
    for dotted, _, line in imports_of(path):
        if dotted.split(".")[0] in ("bench", "python_tests", "scripts"):
            wrong.append(f"line {line}: {dotted}")
        elif dotted.split(".")[0] == "wtal_fast":
            target = imported_part(dotted)
            if not target.startswith("_") and target not in MAY_IMPORT[part]:
                wrong.append(f"line {line}: {dotted}")
    return wrong


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_part_has_its_place():
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")}
    assert parts <= MAY_IMPORT.keys(), f"name the layer of {sorted(parts - MAY_IMPORT.keys())} in MAY_IMPORT"
    assert parts >= MIDDLE | {"ops", "engine", "report", "cli", ""}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_imports_point_down(path):
    assert forbidden_imports(path) == []


def test_middle_folders_never_meet():
    for part in MIDDLE:
        assert MAY_IMPORT[part] & MIDDLE == {part}


def test_imports_are_read_in_every_spelling(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "wtal_fast")
    source = tmp_path / "wtal_fast" / "losses" / "new.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wtal_fast.cli\n"
        "from wtal_fast import ops, models\nfrom ..data import clicks\n"
        "from . import mil\nimport wtal_fast.evaluation.io\n"
        "from wtal_fast.structures import CASOutput\ndef later():\n    from wtal_fast.engine import train\n"
        "from wtal_fast import __version__\nfrom wtal_fast import _C_numpy\nimport bench.run\n"
    )
    assert forbidden_imports(source) == [
        "line 4: wtal_fast.models", "line 5: wtal_fast.data", "line 7: wtal_fast.evaluation.io",
        "line 10: wtal_fast.engine", "line 11: wtal_fast.__version__", "line 13: bench.run",
    ]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_only_declared_dependencies(path):
    """Extras are imported inside the function that needs them, never with the module."""
    allowed = CORE_DEPENDENCIES | {"wtal_fast"} | set(sys.stdlib_module_names)
    if part_of(path) in ("ops", "models", "losses", "localization", "evaluation", "errors", "seals", "files",
                         "structures"):
        allowed -= CORE_DEPENDENCIES - {"torch", "numpy"}
    if part_of(path) == "evaluation":
        allowed -= {"torch"}
    extras = set() if part_of(path) == "evaluation" else EXTRAS
    top_extras = {"triton"} if path.parent.name == "triton" else set()
    wrong = [f"line {line}: {dotted}" for dotted, top, line in imports_of(path)
             if dotted.split(".")[0] not in allowed | (top_extras if top else extras)]
    assert wrong == []


def loaded_by(names: list[str], heavy: set[str]) -> dict[str, list[str]]:
    """For each module of `names`, imported in turn in one fresh process: which of `heavy` it brought in."""
    code = "import importlib, sys\nfor name in sys.argv[2].split(','):\n    importlib.import_module(name)\n" \
           "    print(name, *(m for m in sys.argv[1].split(',') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, ",".join(sorted(heavy)), ",".join(names)], cwd=ROOT,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}


def test_light_modules_do_not_import_torch():
    folders = [PACKAGE / "cli", PACKAGE / "evaluation"]
    names = [*LIGHT, *(name_of(path) for folder in folders for path in sorted(folder.rglob("*.py")))]
    names = list(dict.fromkeys(names))
    assert loaded_by(names, {"torch"}) == {name: [] for name in names}


def test_ops_need_only_torch_and_numpy():
    heavy = CORE_DEPENDENCIES - {"torch", "numpy"} | EXTRAS - {"triton"}
    assert loaded_by(["wtal_fast.ops"], heavy) == {"wtal_fast.ops": []}


def test_every_folder_with_modules_is_a_package():
    """setup finds packages by their __init__.py; a folder without one is missing from the wheel."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert relative(sorted(folder for folder in folders if not (folder / "__init__.py").is_file())) == []


def test_no_drawer_modules():
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert relative([path for path in PYTHON if path.name in drawers]) == []


def test_files_are_short():
    limits = {".py": 400, ".cu": 500, ".cuh": 500, ".cpp": 400, ".h": 400}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*PYTHON, *NATIVE]}
    assert [(str(path.relative_to(ROOT)), n) for path, n in lengths.items() if n >= limits[path.suffix]] == []
    assert lengths[ROOT / "setup.py"] < 150


def test_functions_are_short():
    long = []
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines >= 80:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


BANNED = {
    "eval", "exec", "pickle.load", "pickle.loads", "dill.load", "joblib.load", "marshal.load", "marshal.loads",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen",
}


def dangers(source: str) -> list[str]:
    """Calls of `source` that run a file's content or a shell's words as code, also under an imported name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names} & BANNED
            found += [f"line {node.lineno}: import of {name}" for name in sorted(names)]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).removeprefix("builtins.")
        given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
        if name in BANNED:
            found.append(f"line {node.lineno}: {name}(")
        if given.get("allow_pickle", "False") != "False" or given.get("shell", "False") != "False":
            found.append(f"line {node.lineno}: {name}(..., allow_pickle or shell)")
        if given.get("weights_only", "True") != "True" or name == "torch.load" and "weights_only" not in given:
            found.append(f"line {node.lineno}: {name}(...) without weights_only=True")
    return found


def test_nothing_dangerous_is_called():
    found = {str(path.relative_to(ROOT)): dangers(path.read_text(encoding="utf-8")) for path in PYTHON}
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize("line", [
    "pickle.load(f)", "torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)", "eval(x)",
    "yaml.load(f, Loader)", "run(c, shell=True)", "np.load(p, allow_pickle=flag)", "os.system(c)", "builtins.exec(x)",
    "from pickle import loads", "from os import popen as p",
])
def test_dangers_are_seen(line):
    assert len(dangers(line)) == 1


@pytest.mark.parametrize("line", [
    "model.eval()", "torch.load(p, weights_only=True)", "np.load(p)", "yaml.safe_load(f)", "run([c])",
    "np.load(p, allow_pickle=False)", "pickle.dumps(x)", "from os import replace",
])
def test_harmless_lines_pass(line):
    assert dangers(line) == []


INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: str(path.relative_to(ROOT)))
def test_native_includes(path):
    """Only torch's stable headers; none in core/ and numpy/, and Python's only in numpy/."""
    folder = path.relative_to(ROOT / "csrc").parts[0]
    for header in INCLUDE.findall(path.read_text(encoding="utf-8")):
        if header.startswith(("torch/", "ATen/", "c10/")):
            stable = ("torch/csrc/stable/", "torch/headeronly/", "torch/csrc/inductor/aoti_torch/c/")
            assert folder not in ("core", "numpy") and header.startswith(stable), header
        if header.startswith(("Python.h", "pybind11/")):
            assert folder == "numpy", header
        if header.startswith(("cuda", "cub/")):
            assert folder == "cuda" or folder == "core" and header in ("cuda_fp16.h", "cuda_bf16.h"), header
        if folder == "core" and "/" in header:
            assert header.startswith("core/"), header


def test_native_sources_exist():
    assert {path.relative_to(ROOT / "csrc").parts[0] for path in NATIVE} >= {"core", "cpu", "cuda", "numpy"}
