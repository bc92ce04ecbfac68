"""Makes a trained model the bundled one of its script: half the bytes, in float16, with its graphs beside it.

    python -m tools.bundle build/nano/model

What is to be made anew after that: the report of Kodak, README's tables, `tests/files`, the card and the notebooks.
"""

from __future__ import annotations

import os

from lic import environment, resources
from tools import command_line

# Of the settings of a training: where things lay, which is nobody's business.
_PLACES = ("train_glob", "train_path", "model_path", "init_from", "validation_glob", "tfds")


def main() -> None:
    parser = command_line.parser(__doc__, "bundle")
    parser.add_argument("folder", metavar="MODEL", help="a folder that `train` saved a model to")
    folder = parser.parse_args().folder
    environment.prepare()
    with command_line.told_in_a_line("bundle"):
        print(_bundle(folder))


def _bundle(source: str) -> str:
    """Puts it into the place of the script's bundled model, and says so."""
    from lic import graph_storing, weights
    about, arrays = weights.read(source)
    target = resources.bundled(about["script"])
    how = {name: value for name, value in about.get("training", {}).items() if name not in _PLACES}
    identity = weights.save(weights.build(about, arrays), about["script"], target, half=True, training=how,
                            steps=about.get("steps"))
    graph_storing.save(target)
    size = sum(os.path.getsize(os.path.join(target, name)) for name in os.listdir(target))
    return f"model {identity.hex()} in '{target}', {size:,} bytes"


if __name__ == "__main__":
    main()
