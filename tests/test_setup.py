"""Packaging, and the set-up behind the Makefile: what a fresh machine meets first."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# --- the wheel -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel of a copy of this checkout, to which the weights of a model named fake-nano are added."""
    pytest.importorskip("wheel")
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for module in ROOT.glob("*.py"):
        shutil.copy(module, source)
    for package in ("lic", "swin_transformers_tf"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "res" / "anchors", source / "res" / "anchors")
    weights = source / "res" / "weights" / "fake-nano"
    weights.mkdir(parents=True)
    (weights / "model.json").write_text("{}")
    (weights / "weights.npz").write_bytes(b"fake")
    (weights / "graphs.zip").write_bytes(b"fake")
    (weights / "notes.txt").write_text("not for users")
    built = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", str(built), str(source)],
        check=True, cwd=source,
    )  # fmt: skip
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def _only(wheel: zipfile.ZipFile, ending: str) -> str:
    (name,) = [name for name in wheel.namelist() if name.endswith(ending)]
    return wheel.read(name).decode()


def test_wheel_holds_the_modules_and_the_bundled_weights(wheel):
    names = set(wheel.namelist())
    assert {"arch_ops.py", "config.py", "lic/__init__.py", "swin_transformers_tf/__init__.py"} <= names
    assert {"lic/res/weights/fake-nano/model.json", "lic/res/weights/fake-nano/weights.npz",
            "lic/res/weights/fake-nano/graphs.zip"} <= names
    assert {"lic/evaluation/__init__.py", "lic/res/anchors/kodak.json"} <= names


def test_wheel_holds_nothing_that_users_do_not_need(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    papers = {"lsk2023.py", "zyc2022.py", "hypmqw2022.py"}
    assert tops <= papers | {"arch_ops.py", "config.py", "lic", "swin_transformers_tf"}
    assert not [name for name in wheel.namelist() if name.endswith("notes.txt") or "/tests/" in name]


def test_wheel_declares_what_was_changed_against_the_published_swin_code(wheel):
    assert "swin_transformers_tf/CHANGES.md" in wheel.namelist()


@pytest.mark.parametrize(
    "pin",
    [
        "tensorflow==2.14.1",
        "tensorflow-compression==2.14.1",
        "protobuf<5",
        "tensorflow-metadata<1.18",
        "googleapis-common-protos<1.67",
    ],
)
def test_metadata_has_the_pin(wheel, pin):
    assert pin in Parser().parsestr(_only(wheel, ".dist-info/METADATA")).get_all("Requires-Dist")


def test_metadata_names_the_package_its_license_and_its_pythons(wheel):
    metadata = Parser().parsestr(_only(wheel, ".dist-info/METADATA"))
    assert metadata["Name"] in ("lic-tf", "lic_tf")
    assert "Apache" in (metadata["License"] or metadata["License-Expression"])
    assert set(metadata["Requires-Python"].split(",")) == {">=3.9", "<3.12"}


def test_each_paper_is_a_command(wheel):
    scripts = _only(wheel, ".dist-info/entry_points.txt")
    # Not the papers themselves: importing one loads TensorFlow, and --help should answer at once.
    for paper in ("lsk2023", "zyc2022", "hypmqw2022"):
        assert f"{paper} = lic.cli:{paper}" in scripts


def test_every_requirement_says_why():
    """In setup.py a comment stands over each bound; plain names need none."""
    lines = [line.strip() for line in (ROOT / "setup.py").read_text("utf-8").splitlines()]
    bounded = [number for number, line in enumerate(lines) if line.startswith('"') and any(c in line for c in "<=")]
    assert bounded
    for number in bounded:
        above = next(line for line in reversed(lines[:number]) if not line.startswith('"'))
        assert above.startswith("#"), f"setup.py:{number + 1} says no reason: {lines[number]}"


def test_installed_packages_agree_with_one_another():
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("this environment has no pip")
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout


# --- the Makefile ----------------------------------------------------------------------------------------------

needs_make = pytest.mark.skipif(not shutil.which("make") or os.name == "nt", reason="needs make")

TOOLS = ("sh", "make", "echo", "cat", "cksum", "rm", "mv", "cp", "mkdir", "ls", "sed", "find", "test", "chmod", "touch")

# A Python that answers the questions of tools/venv.sh and writes down what it is asked to install.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
  *version_info*) exit 0 ;;
  *ensurepip*) exit {no_venv} ;;
  "--version ") echo "Python 3.10.{patch}" ;;
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") case "$*" in *--editable*) echo "$*" >> "{log}"; exit {no_pip} ;; esac ;;
esac
"""


class Bench:
    """A copy of the Makefile and of what it reads, and a PATH with a few plain tools on it."""

    def __init__(self, folder: Path):
        self.clone = folder / "clone of it"  # a space, as in many a home
        self.bin = folder / "bin"
        self.log = folder / "pip.log"
        self.clone.mkdir()
        self.bin.mkdir()
        for name in ("Makefile", "setup.py", "pyproject.toml"):
            shutil.copy(ROOT / name, self.clone)
        shutil.copytree(ROOT / "tools", self.clone / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        for tool in TOOLS:
            found = shutil.which(tool)
            if found:
                (self.bin / tool).symlink_to(found)

    def script(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def python(self, name: str = "python3.10", no_venv: int = 0, no_pip: int = 0, patch: int = 1) -> Path:
        return self.script(name, FAKE_PYTHON.format(log=self.log, no_venv=no_venv, no_pip=no_pip, patch=patch))

    def make(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(self.bin / "make"), "--no-print-directory", *arguments],
            cwd=self.clone, env={"PATH": str(self.bin)}, capture_output=True, text=True,
        )  # fmt: skip

    def installs(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def _said(done: subprocess.CompletedProcess) -> list[str]:
    """What went to the terminal, less make's own last word."""
    return [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make: ***")]


@needs_make
def test_make_lists_its_targets(bench):
    done = bench.make()
    assert done.returncode == 0
    assert {line.split()[1] for line in done.stdout.splitlines() if line.startswith("make ")} >= {
        "demo", "test", "slow", "clean",
    }  # fmt: skip


@needs_make
@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_says_one_clear_line_when_there_is_no_python(bench, target):
    done = bench.make(target)
    (line,) = _said(done)
    assert done.returncode != 0
    assert line.startswith("found no Python 3.9, 3.10 or 3.11 that runs") and "PYTHON=" in line
    assert not (bench.clone / ".venv").exists()


@needs_make
def test_make_says_one_clear_line_when_venv_is_missing(bench):
    bench.python(no_venv=1)
    (line,) = _said(bench.make("venv"))
    assert line.startswith("python3.10 has no venv or ensurepip")


@needs_make
def test_make_says_one_clear_line_when_the_named_python_does_not_run(bench):
    bench.python()
    (line,) = _said(bench.make("venv", "PYTHON=python3.7"))
    assert line.startswith("PYTHON=python3.7 is no Python 3.9, 3.10 or 3.11 that runs")


@needs_make
def test_make_passes_over_a_python_on_the_path_that_does_not_run(bench):
    bench.script("python3.11", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    bench.python("python3.10")
    done = bench.make("venv")
    assert done.returncode == 0, done.stderr
    assert _said(done) == ["setting up .venv, a few minutes the first time"]


@needs_make
def test_find_accepts_the_python_that_runs_this_test(bench):
    bench.script("python3.9", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    found = subprocess.run(
        ["sh", "tools/venv.sh", "find"], cwd=bench.clone, env={"PATH": str(bench.bin)}, capture_output=True, text=True
    )
    assert found.stdout == "python3.9\n", found.stderr


@needs_make
def test_environment_is_used_again_and_made_anew_when_setup_changes(bench):
    bench.python()
    assert bench.make("venv").returncode == 0
    assert bench.make("venv").returncode == 0
    assert bench.installs() == 1
    with open(bench.clone / "setup.py", "a") as setup:
        setup.write("# changed\n")
    assert bench.make("venv").returncode == 0
    assert bench.installs() == 2


@needs_make
def test_testing_tools_are_added_to_the_environment_and_stay(bench):
    bench.python()
    for target in ("venv", "venv-test", "venv", "venv-test"):
        assert bench.make(target).returncode == 0
    assert [line.rsplit(" ", 1)[1] for line in bench.log.read_text().splitlines()] == [".", ".[test]"]


@needs_make
def test_environment_follows_the_named_python(bench):
    bench.python()
    other = bench.python("other", patch=2)
    assert bench.make("venv").returncode == 0
    assert bench.make("venv", f"PYTHON={other}").returncode == 0
    assert bench.make("venv", f"PYTHON={other}").returncode == 0
    assert bench.installs() == 2


@needs_make
def test_interrupted_set_up_is_never_trusted(bench):
    bench.python(no_pip=1)
    assert bench.make("venv").returncode != 0
    bench.python()
    (bench.clone / ".venv" / "left-over").touch()
    assert bench.make("venv").returncode == 0
    assert bench.installs() == 2
    assert not (bench.clone / ".venv" / "left-over").exists()


@needs_make
@pytest.mark.parametrize("target", ["venv", "clean"])
def test_folder_that_was_not_made_here_is_left_alone(bench, target):
    bench.python()
    mine = bench.clone / "mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    done = bench.make(target, "VENV=mine")
    assert done.returncode != 0
    assert len(_said(done)) == 1
    assert (mine / "thesis.tex").exists()


# --- the deadline of .ci/run -----------------------------------------------------------------------------------

SLOW_TESTS = '''"""Tests for the deadline."""
import time

def test_wrong():
    assert False

def test_that_is_cut_off():
    time.sleep(60)

def test_that_is_not_begun():
    pass
'''


@pytest.mark.parametrize("how", [[], ["-n", "2", "--dist", "loadfile"]], ids=["one process", "two"])
def test_deadline_skips_what_does_not_fit_and_keeps_failures(tmp_path, how):
    (tmp_path / "test_slow.py").write_text(SLOW_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tools.deadline", "-p", "no:cacheprovider", "-c", "pyproject.toml",
         "-rs", *how, str(tmp_path / "test_slow.py")],
        cwd=ROOT, env={**os.environ, "PYTEST_DEADLINE": str(time.time() + 8)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 2 skipped" in done.stdout
    assert "cut off" in done.stdout and "not begun" in done.stdout
