"""What a reader meets first: commands of the README that exist, presets that load, docstrings, no stray names."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from python_tests.conftest import ROOT, require

PACKAGE = ROOT / "wtal_fast"
FOLDERS = ("wtal_fast", "csrc", "bench", "python_tests", "scripts", "docs", ".ci")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".h", ".cuh", ".cpp", ".cu", ".html", ".j2", ".txt", ".in", ".sh", ""}
PRESET_FOLDER = PACKAGE / "presets"
PRESETS = sorted(str(path.relative_to(PRESET_FOLDER).with_suffix("")) for path in PRESET_FOLDER.glob("*/*/*.yaml"))
METHODS = ("basnet", "uncertainty", "backtal")


def text_files() -> list[Path]:
    """The project's own text files: results and what a build leaves are not among them."""
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # a file in a linked worktree
    found = [path for path in top if path.suffix in TEXT or path.name == ".gitignore"]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in TEXT]
    return sorted(path for path in found if "__pycache__" not in path.parts and "results" not in path.parts)


def lines_with(pattern: str, *, but: tuple[str, ...] = ()) -> list[str]:
    """`file:line: text` of every line of the project that holds `pattern`, but those of the files named."""
    rule, found = re.compile(pattern), []
    for path in text_files():
        name = str(path.relative_to(ROOT))
        if name in but or name == "python_tests/test_repository.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if rule.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    return found


def test_the_search_sees_what_it_is_meant_to_see():
    assert "python_tests/conftest.py:1" in lines_with(r"What every test shares")[0]
    assert len(text_files()) > 50


def test_no_machine_paths():
    assert lines_with(r"(?<![\w.])/(work|root|home|mnt|Users)/") == []
    found = lines_with(r"(?<![\w.])/tmp\b")
    assert [line for line in found if not line.startswith("python_tests/")] == []  # tests name it in hostile files


def test_no_unfinished_marks():
    assert lines_with(r"\b(TODO|FIXME|XXX|HACK)\b") == []


def test_only_documents_that_users_have_are_named():
    assert lines_with(r"\b(spec|design|kernels|reliability|style|targets)\.md\b") == []


def test_no_registry_or_index_is_named():
    assert lines_with(r"(index-url|find-links|https?://[\w.-]*(pypi|pytorch\.org/whl|artifactory|nexus))") == []


# README


def readme_blocks(language: str) -> list[str]:
    """The fenced code blocks of the README in `language`; "" for those without one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [block for name, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M) if name == language]


def readme_commands() -> list[list[str]]:
    """Command lines of the README's blocks: continued lines joined, comments cut."""
    lines = "\n".join(readme_blocks("") + readme_blocks("sh")).replace("\\\n", " ").splitlines()
    words = ("wtal-fast ", "scripts/", "pip ", "python ", "git ", "torchrun ", "WTAL_")
    return [shlex.split(line, comments=True) for line in map(str.strip, lines) if line.startswith(words)]


def test_readme_has_the_two_commands_and_more():
    first = [command[0] for command in readme_commands()]
    assert {"scripts/demo", "scripts/test", "wtal-fast"} <= set(first)
    assert first.count("wtal-fast") >= 3


def test_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    named = [command[0] for command in readme_commands() if command[0].startswith("scripts/")]
    assert [name for name in [*links, *named] if name and not (ROOT / name).exists()] == []


def test_readme_commands_have_known_subcommands_and_options():
    import typer

    from wtal_fast.cli.main import app

    known = typer.main.get_command(app).commands
    for command in readme_commands():
        if command[0] == "wtal-fast":
            assert command[1] in known, " ".join(command)
            options = {name for parameter in known[command[1]].params for name in parameter.opts}
            assert {word for word in command[2:] if word.startswith("--")} <= options, " ".join(command)


def test_readme_python_runs_as_far_as_its_imports():
    """Every `import` and `from ... import` line of the README's Python blocks works."""
    lines = [line for block in readme_blocks("python") for line in block.splitlines()]
    imports = [line for line in lines if re.match(r"(import|from) \w", line)]
    command = [sys.executable, "-c", "\n".join(imports)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# Presets


def test_every_method_has_its_variants_on_thumos14():
    wanted = {f"{method}/thumos14/{variant}" for method in METHODS for variant in ("official", "paper", "recommended")}
    assert wanted - set(PRESETS) == set()


@pytest.mark.parametrize("name", PRESETS)
def test_preset_fits_its_model_and_loss(name):
    from wtal_fast.engine.methods import configure

    config = configure(name)
    assert (config.preset, config.method) == (name, name.partition("/")[0])


# Documentation in the code


def modules() -> list[Path]:
    folders = ("wtal_fast", "bench", "python_tests", "scripts")
    found = [ROOT / "setup.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    return sorted(path for path in found if path.read_text(encoding="utf-8").strip())


def documented() -> list[Path]:
    """Modules whose functions users or contributors call; a Triton kernel is described at its op."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "triton" or path.name == "__init__.py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"


@pytest.mark.parametrize("path", documented(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_functions_and_classes_say_what_they_are(path):
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    public = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    public = [node for node in public if not node.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


# Scripts


@pytest.mark.parametrize("name", ["demo", "test", "nightly", "bench", "check_installs", "../.ci/run"])
def test_scripts_can_be_run(name):
    path = ROOT / "scripts" / name
    assert os.access(path, os.X_OK) and path.read_text().startswith("#!/usr/bin/env ")
    if path.read_text().startswith("#!/usr/bin/env bash"):
        assert subprocess.run(["bash", "-n", path]).returncode == 0
        assert "_setup.sh" in path.read_text()


def run_setup(tmp_path, **environment) -> subprocess.CompletedProcess:
    """Sources _setup.sh of a copy of scripts/ that stands in an empty folder."""
    (tmp_path / "scripts").mkdir()
    for name in ("_setup.sh", "test"):
        (tmp_path / "scripts" / name).write_text((ROOT / "scripts" / name).read_text())
    plain = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHON")}
    command, environment = ["bash", "scripts/test"], plain | environment
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)


def fake_python(folder: Path, body: str) -> Path:
    path = folder / "fake_python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_old_python_is_refused_in_words(tmp_path):
    old = fake_python(tmp_path, 'if [ "$1" = -V ]; then echo Python 3.8.1; exit 0; fi; exit 1')
    done = run_setup(tmp_path, PYTHON=str(old))
    assert done.returncode == 1
    assert "Python 3.10 or later is needed" in done.stderr and "is: Python 3.8.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_missing_venv_module_is_said_in_words(tmp_path):
    bare = fake_python(tmp_path, 'case "$2" in *venv*) exit 1;; esac; exit 0')
    done = run_setup(tmp_path, PYTHON=str(bare))
    assert done.returncode == 1
    assert "cannot make virtual environments" in done.stderr and "apt-get install python3-venv" in done.stderr


def test_failing_step_shows_its_output(tmp_path):
    broken = fake_python(tmp_path, '[ "$2" = venv ] && { echo disk is full; exit 1; }; exit 0')
    done = run_setup(tmp_path, PYTHON=str(broken))
    assert done.returncode == 1
    assert "disk is full" in done.stderr and "this step failed" in done.stderr


# The test settings themselves


def test_uninitialised_memory_is_poisoned():
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)  # as the autouse fixture does once torch is loaded
    assert torch.empty(5).isnan().all()
    assert torch.ones(3).new_empty(4, dtype=torch.bfloat16).isnan().all()
    assert (torch.empty(3, dtype=torch.int64) == torch.iinfo(torch.int64).max).all()


def test_what_is_there_is_not_skipped():
    require("native", True, "not built")


def test_what_is_missing_is_skipped_or_fails(monkeypatch):
    monkeypatch.setenv("WTAL_REQUIRE", "shared")
    with pytest.raises(pytest.skip.Exception, match="^native: not built$"):
        require("native", False, "not built")
    monkeypatch.setenv("WTAL_REQUIRE", "shared,native")
    with pytest.raises(pytest.fail.Exception, match="asks for native: not built"):
        require("native", False, "not built")
    with pytest.raises(ValueError, match="kind must be one of"):
        require("nativ", True, "")


@pytest.mark.parametrize("required, code", [("", 0), ("shared", 1)])
def test_skips_that_nobody_declared_fail_where_things_are_required(tmp_path, required, code):
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it():\n    pytest.skip('no reason to')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "python_tests.conftest", "--rootdir", tmp_path, tmp_path]
    environment = os.environ | {"WTAL_REQUIRE": required, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    assert "test_it.py::test_it: no reason to" in done.stdout
