"""The rules of the house, read from the source with `ast`: imports run downwards, and what is never written here.

Each finding is "file:line: rule", so that the message of a failing test says what to mend and where.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

PAPERS = ("lsk2023", "zyc2022", "hypmqw2022")
PACKAGES = ("lic", "swin_transformers_tf")
OURS = (*PAPERS, "arch_ops", "config", *PACKAGES)

# The floors of lic/, from the ground up; a room's name stands for all in it. A module imports from its own floor or
# from below; one that isn't named here may stand anywhere, as long as no circle of imports comes of it.
FLOORS = (
    ("errors", "drafts", "files"),
    ("checkerboard", "coders", "bitstream", "images", "metrics"),
    ("context", "distortion"),
    ("model",),
    ("data", "training", "codec", "export"),
    ("cli", "corpus", "demo", "evaluation", "portability", "serving"),
)
FLOOR = {f"lic.{name}": floor for floor, names in enumerate(FLOORS) for name in names}

KNOW_TFC = {"lic.coders", "lic.model", "lic.tables"}  # its entropy models, its prior, its table quantiser
# `--help` has to answer at once, and where JAX trains there is no TensorFlow.
WITHOUT_TF = ("config", "lic.errors", "lic.files", "lic.bitstream", "lic.cli", "lic.cli.commands", "lic.pjrt_train",
              "lic.serving.folders", "lic.serving.settings")
HEAVY = {"tensorflow", "tensorflow_compression", "tensorflow_probability", "tensorflow_datasets", "keras", "jax"}
ONLY_WHERE_USED = {"matplotlib", "tensorflow_datasets", "torch"}
PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Runs the definition that stands in format.md, a file of this repository, as the reference.
RUNS_ITS_OWN_DOCUMENT = {"tests/lic/test_graph_bitstream.py"}
LIST_EDITS = {"append", "insert", "extend", "remove", "pop", "clear", "reverse", "sort"}
MACHINE_PATH = re.compile(r"(?<![\w.:/~}$-])/(?:home|root|tmp|work|Users)/")


class Import(NamedTuple):
    """One imported module: `name` in full, the line, and whether it happens when the importing module is loaded."""

    name: str
    line: int
    at_load: bool


def tracked_files(root: Path) -> list[Path]:
    """What git tracks or would track; without git, every file that isn't in a hidden or a build folder."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        names = [name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if names:
        found = [root / name for name in names]
    else:
        found = [path for path in root.rglob("*") if not _is_built(path.relative_to(root))]
    return sorted(path for path in found if path.is_file())


def _is_built(path: Path) -> bool:
    folders = path.parts[:-1]
    return any(part.startswith(".") and part != ".ci" for part in folders) or bool(
        {"build", "dist", "__pycache__"}.intersection(folders)
    )


class Tree:
    """The Python of a source tree, parsed once.

    Attributes:
      modules: the syntax tree of each module of the product, by its dotted name.
      python: the syntax tree of every Python file, tests and tools too, by its path from the root.
    """

    def __init__(self, root: Path):
        self.root = root
        self.files = [path.relative_to(root) for path in tracked_files(root)]
        self.python = {path: ast.parse((root / path).read_text("utf-8")) for path in self.files if path.suffix == ".py"}
        self.paths = {_module_name(path): path for path in self.python if path.parts[0].split(".")[0] in OURS}
        self.modules = {name: self.python[path] for name, path in self.paths.items()}

    def imports(self, module: str) -> list[Import]:
        """Every import of a module; `from lic import model` is an import of `lic.model` where that is a module."""
        is_package = self.paths[module].name == "__init__.py"
        found = []
        for node, at_load in _walk(self.modules[module]):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(node, module, is_package)
                names = [
                    full if (full := f"{base}.{alias.name}") in self.modules else base for alias in node.names
                ]  # fmt: skip
            else:
                continue
            found += [Import(name, node.lineno, at_load) for name in names]
        return found

    def loads(self, module: str) -> set[str]:
        """The own modules that `import module` loads at once, itself and the packages around it among them."""
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            parents = [name.rsplit(".", count)[0] for count in range(name.count(".") + 1)]
            for each in parents:
                if each in self.modules and each not in seen:
                    seen.add(each)
                    waiting += [imported.name for imported in self.imports(each) if imported.at_load]
        return seen

    def where(self, module: str, line: int) -> str:
        return f"{self.paths[module].as_posix()}:{line}"


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    base = module.split(".")
    base = base[: len(base) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _walk(tree: ast.AST, at_load: bool = True):
    """Yields (node, whether it runs when the module is loaded); leaves out `if TYPE_CHECKING:`, which never runs."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other, at_load
                yield from _walk(other, at_load)
            continue
        yield child, at_load
        inside_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _walk(child, at_load and not inside_function)


def _top(name: str) -> str:
    return name.split(".")[0]


# The rules: each takes a Tree and yields what breaks it.


def _floor(module: str, of_others: int) -> int:
    """The floor of a module, or of the room that it lies in; `of_others` where neither is named."""
    rooms = (module.rsplit(".", count)[0] for count in range(module.count(".") + 1))
    return next((FLOOR[room] for room in rooms if room in FLOOR), of_others)


def papers_are_not_imported(tree: Tree):
    """Papers never import one another, and nothing below knows a paper."""
    for module in tree.modules:
        for name, line, _ in tree.imports(module):
            if _top(name) in PAPERS and _top(name) != module:
                kind = "papers never import one another" if module in PAPERS else "nothing below a paper imports it"
                yield f"{tree.where(module, line)}: {kind} ({name})"


def imports_run_downwards(tree: Tree):
    """The diagram: swin_transformers_tf and config stand on nothing of ours, arch_ops on those two, lic on floors."""
    allowed = {
        "swin_transformers_tf": {"swin_transformers_tf"},
        "config": set(),
        "arch_ops": {"swin_transformers_tf", "config"},
    }
    for module in tree.modules:
        for name, line, _ in tree.imports(module):
            if _top(name) in OURS and _top(module) in allowed and _top(name) not in allowed[_top(module)]:
                yield f"{tree.where(module, line)}: imports run downwards, {_top(module)} never imports {name}"
            if _floor(name, 0) > _floor(module, len(FLOORS)):
                yield f"{tree.where(module, line)}: imports run downwards, {name} stands above {module}"


def imports_make_no_circle(tree: Tree):
    """An import inside a function counts: that it works doesn't make it run downwards."""
    below = {
        module: {name: line for name, line, _ in tree.imports(module) if name in tree.modules and name != module}
        for module in tree.modules
    }
    reach = {module: set(names) for module, names in below.items()}
    for middle in reach:
        for module in reach:
            if middle in reach[module]:
                reach[module] |= reach[middle]
    for module, names in below.items():
        for name, line in names.items():
            if module in reach[name] and not module.startswith(f"{name}.") and not name.startswith(f"{module}."):
                yield f"{tree.where(module, line)}: imports make no circle ({name} imports {module} in turn)"


def only_coders_and_model_know_tfc(tree: Tree):
    """Range coding stays behind one door."""
    for module in tree.modules:
        for name, line, _ in tree.imports(module):
            if _top(name) == "tensorflow_compression" and module not in KNOW_TFC:
                yield f"{tree.where(module, line)}: only {', '.join(sorted(KNOW_TFC))} import tensorflow_compression"


def the_front_desk_loads_no_tensorflow(tree: Tree):
    """Neither by its own imports nor through what it imports."""
    for desk in WITHOUT_TF:
        for module in sorted(tree.loads(desk)):
            for name, line, at_load in tree.imports(module):
                if at_load and _top(name) in HEAVY:
                    yield f"{tree.where(module, line)}: {desk} loads no TensorFlow when it is imported ({name})"


def plots_and_datasets_are_imported_where_used(tree: Tree):
    """Compressing a picture needs neither."""
    for module in tree.modules:
        for name, line, at_load in tree.imports(module):
            if at_load and _top(name) in ONLY_WHERE_USED:
                yield f"{tree.where(module, line)}: {_top(name)} is imported inside the function that uses it"


def search_path_is_left_alone(tree: Tree):
    """No edit of sys.path, in any of its disguises."""
    for path, module in tree.python.items():
        for node in ast.walk(module):
            if _edits_search_path(node):
                yield f"{path.as_posix()}:{node.lineno}: the search path of modules is left alone"


def _edits_search_path(node: ast.AST) -> bool:
    def is_path(expression: ast.AST) -> bool:
        while isinstance(expression, (ast.Subscript, ast.Starred)):
            expression = expression.value
        return ast.unparse(expression) == "sys.path"

    if isinstance(node, (ast.Assign, ast.Delete)):
        return any(is_path(target) for target in node.targets)
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return is_path(node.target)
    if isinstance(node, ast.ImportFrom):
        return node.module == "sys" and any(alias.name == "path" for alias in node.names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("addsitedir", "syspath_prepend") or (
            node.func.attr in LIST_EDITS and is_path(node.func.value)
        )
    return False


def data_is_never_run(tree: Tree):
    """No pickle, no eval, no exec: a file of weights must not be able to run code."""
    for path, module in tree.python.items():
        for node in ast.walk(module):
            said = _runs_data(node)
            if said and not (said == "exec" and path.as_posix() in RUNS_ITS_OWN_DOCUMENT):
                yield f"{path.as_posix()}:{node.lineno}: data is never run as code ({said})"


def _runs_data(node: ast.AST) -> str:
    if isinstance(node, ast.Import):
        return next((alias.name for alias in node.names if _top(alias.name) in PICKLES), "")
    if isinstance(node, ast.ImportFrom):
        return node.module if node.module and _top(node.module) in PICKLES else ""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            return node.func.id
        if ast.unparse(node.func) == "torch.load" and "weights_only=True" not in map(ast.unparse, node.keywords):
            return "torch.load"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                return "allow_pickle"
    return ""


def modules_say_what_they_are(tree: Tree):
    """Every module has a docstring; an empty __init__.py has nothing to say."""
    for path, module in tree.python.items():
        if module.body and not ast.get_docstring(module):
            yield f"{path.as_posix()}:1: a module begins with a docstring"


def no_machine_is_named(tree: Tree):
    """No path of somebody's machine in any text file."""
    for path in tree.files:
        data = (tree.root / path).read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield f"{path.as_posix()}:{number}: no absolute path of a machine: {line.strip()[:80]}"


RULES = (
    papers_are_not_imported,
    imports_run_downwards,
    imports_make_no_circle,
    only_coders_and_model_know_tfc,
    the_front_desk_loads_no_tensorflow,
    plots_and_datasets_are_imported_where_used,
    search_path_is_left_alone,
    data_is_never_run,
    modules_say_what_they_are,
    no_machine_is_named,
)


@pytest.fixture(scope="module")
def house() -> Tree:
    return Tree(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_keeps_the_rule(house, rule):
    broken = list(rule(house))
    assert not broken, "\n".join(["", *broken])


def test_map_of_readme_names_every_module_and_room_of_lic(house):
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    words = (line.removeprefix("lic/").split() for line in lines if line.startswith("lic/"))
    named = [name for line in words for name in itertools.takewhile(lambda word: word.endswith((".py", "/")), line)]
    inside = (path.parts[1:] for path in house.python if path.parts[0] == "lic")
    there = {f"{first}/" if deeper else first for first, *deeper in inside} - {"__init__.py"}
    assert sorted(named) == sorted(there)


def test_checker_sees_the_modules_of_the_house(house):
    assert {"config", "arch_ops", "lic", "lic.errors", "swin_transformers_tf"} <= set(house.modules)


def _build(root: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.startswith('"""') or not text else f'"""Doc."""\n{text}', "utf-8")
    return Tree(root)


# Lines count from the docstring that `_build` puts first.
BREACHES = [
    (papers_are_not_imported, {"lsk2023.py": "", "zyc2022.py": "import lsk2023"}, "zyc2022.py:2"),
    (
        papers_are_not_imported,
        {"lsk2023.py": "", "lic/cli.py": "def f():\n    from lsk2023 import TCM"},
        "lic/cli.py:3",
    ),
    (papers_are_not_imported, {"arch_ops.py": "x = 1\nimport hypmqw2022"}, "arch_ops.py:3"),
    (papers_are_not_imported, {"config.py": "import zyc2022"}, "config.py:2"),
    (papers_are_not_imported, {"swin_transformers_tf/a.py": "import zyc2022 as z"}, "swin_transformers_tf/a.py:2"),
    (
        imports_run_downwards,
        {"config.py": "", "swin_transformers_tf/a.py": "import config"},
        "swin_transformers_tf/a.py:2",
    ),
    (imports_run_downwards, {"swin_transformers_tf/a.py": "from lic import errors"}, "swin_transformers_tf/a.py:2"),
    (imports_run_downwards, {"arch_ops.py": "import lic.errors"}, "arch_ops.py:2"),
    (imports_run_downwards, {"config.py": "from arch_ops import Block"}, "config.py:2"),
    (imports_run_downwards, {"lic/model.py": "", "lic/coders.py": "from lic import model"}, "lic/coders.py:2"),
    (imports_run_downwards, {"lic/cli.py": "", "lic/training.py": "from lic.cli import main"}, "lic/training.py:2"),
    (imports_run_downwards, {"lic/context.py": "", "lic/coders.py": "from .context import C"}, "lic/coders.py:2"),
    (
        imports_run_downwards,
        {"lic/training/run.py": "", "lic/model.py": "def f():\n    from lic.training import run"},
        "lic/model.py:3",
    ),
    (
        imports_run_downwards,
        {"lic/cli/paths.py": "", "lic/training/run.py": "from lic.cli import paths"},
        "lic/training/run.py:2",
    ),
    (
        imports_run_downwards,
        {"lic/demo/desk.py": "", "lic/data/batches.py": "from lic.demo.desk import opened"},
        "lic/data/batches.py:2",
    ),
    (
        imports_make_no_circle,
        {"lic/a.py": "from lic import b", "lic/b.py": "def f():\n    import lic.a"},
        "lic/a.py:2",
    ),
    (
        only_coders_and_model_know_tfc,
        {"lic/cli.py": "def f():\n    import tensorflow_compression as tfc"},
        "lic/cli.py:3",
    ),
    (only_coders_and_model_know_tfc, {"lsk2023.py": "from tensorflow_compression import GDN"}, "lsk2023.py:2"),
    (the_front_desk_loads_no_tensorflow, {"config.py": "import tensorflow as tf"}, "config.py:2"),
    (
        the_front_desk_loads_no_tensorflow,
        {"lic/cli.py": "try:\n    import keras\nexcept ImportError: pass"},
        "lic/cli.py:3",
    ),
    (
        the_front_desk_loads_no_tensorflow,
        {"lic/cli.py": "from lic import model", "lic/model.py": "x = 1\nfrom tensorflow import Tensor"},
        "lic/model.py:3",
    ),
    (
        the_front_desk_loads_no_tensorflow,
        {"lic/__init__.py": "from lic.model import M", "lic/model.py": "import tensorflow", "lic/errors.py": ""},
        "lic/model.py:2",
    ),
    (plots_and_datasets_are_imported_where_used, {"lic/cli.py": "import matplotlib.pyplot as plt"}, "lic/cli.py:2"),
    (
        plots_and_datasets_are_imported_where_used,
        {"lic/data.py": "import tensorflow_datasets as tfds"},
        "lic/data.py:2",
    ),
    (search_path_is_left_alone, {"tests/test_a.py": "import sys\nsys.path.append('..')"}, "tests/test_a.py:3"),
    (search_path_is_left_alone, {"lsk2023.py": "import sys\nsys.path[:0] = ['..']"}, "lsk2023.py:3"),
    (search_path_is_left_alone, {"lsk2023.py": "import sys\nsys.path += ['..']"}, "lsk2023.py:3"),
    (data_is_never_run, {"lic/files.py": "import pickle"}, "lic/files.py:2"),
    (data_is_never_run, {"lic/files.py": "import numpy\nnumpy.load('a', allow_pickle=True)"}, "lic/files.py:3"),
    (data_is_never_run, {"lic/files.py": "torch.load('a', weights_only=False)"}, "lic/files.py:2"),
    (data_is_never_run, {"tests/a.py": "eval('1')"}, "tests/a.py:2"),
    (data_is_never_run, {"tools/a.py": "exec('1')"}, "tools/a.py:2"),
    (modules_say_what_they_are, {"lic/cli.py": '"""""" \nx = 1'}, "lic/cli.py:1"),
    (no_machine_is_named, {"README.md": "see " + "/" + "home/me/x"}, "README.md:2"),
    (no_machine_is_named, {"lic/cli.py": f"x = '/{'root'}/x'"}, "lic/cli.py:2"),
]


@pytest.mark.parametrize(("rule", "files", "where"), BREACHES, ids=[f"{b[0].__name__}-{b[2]}" for b in BREACHES])
def test_breach_is_found_and_named_with_its_file_and_line(tmp_path, rule, files, where):
    found = list(rule(_build(tmp_path, files)))
    assert found and found[0].startswith(f"{where}: "), found


def test_every_rule_has_a_breach():
    assert {rule for rule, _, _ in BREACHES} == set(RULES)


SOUND = {
    "lsk2023.py": "import arch_ops, config\nfrom lic import cli, model\nimport tensorflow as tf\nmodel.eval()",
    "arch_ops.py": "from swin_transformers_tf import Layer\nfrom config import Conventions",
    "config.py": "import re\nre.compile('a')",
    "lic/__init__.py": "",
    "lic/errors.py": "",
    "lic/coders.py": "import tensorflow_compression as tfc",
    "lic/context.py": "from . import coders\nfrom swin_transformers_tf import Layer",
    "lic/model.py": "from lic.coders import Encoder\nfrom lic import context",
    "lic/cli.py": (
        "from typing import TYPE_CHECKING\nimport importlib, sys\nif TYPE_CHECKING:\n    import tensorflow as tf\n"
        "def main():\n    import matplotlib.pyplot, lic.model\n    importlib.import_module('lsk2023')\n"
        "    print(sys.path, np.load('a', allow_pickle=False))"
    ),
    "swin_transformers_tf/__init__.py": "from swin_transformers_tf.a import Layer",
    "swin_transformers_tf/a.py": "import tensorflow as tf",
    "README.md": "https://example.org/home/me, ../tmp/x, ~/work/y, $HOME/tmp/z",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_sound_tree_breaks_no_rule(tmp_path, rule):
    assert not list(rule(_build(tmp_path, SOUND)))
