"""Makes the range-coding tables of y of a trained model anew, from what it rounds of pictures (`lic.observing`).

    python -m tools.observe build/nano/model --train_glob 'pictures/*.jpg'

`train` does so at its end; this is for models that were trained before, or converted. The model has another identity
afterwards: what was made with it before is not decoded by it.
"""

from __future__ import annotations

from types import SimpleNamespace

from lic import environment
from lic.cli.argument_types import whole
from lic.files import shown
from tools import command_line

_SIZE, _SIDE = 8, 256   # of a batch


def main() -> None:
    parser = command_line.parser(__doc__, "observe")
    parser.add_argument("folder", metavar="MODEL", help="a folder that `train` or `convert` saved a model to")
    parser.add_argument("--train_glob", metavar="GLOB", required=True, help="pictures, or a folder of them")
    parser.add_argument("--batches", type=whole(1, None, "number"), default=48, metavar="N",
                        help=f"of {_SIZE} patches of {_SIDE} x {_SIDE} (default: %(default)s)")
    a = parser.parse_args()
    environment.prepare()
    with command_line.told_in_a_line("observe"):
        print(_observe(a.folder, a.train_glob, a.batches))


def _observe(folder: str, pictures: str, count: int) -> str:
    import numpy as np
    from tqdm import tqdm

    from lic import graph_storing, observing, weights
    from lic.data import folders
    about, arrays = weights.read(folder)
    settings = SimpleNamespace(train_glob=pictures, patchsize=_SIDE, batchsize=_SIZE, seed=0, resize=False,
                               preprocess_threads=2)
    batches = folders.from_files(settings).batches(0).take(count).as_numpy_iterator()
    model = weights.build(about, arrays)
    model.freeze(observing.tables_of(model, tqdm(batches, "batches", count)))
    half = all(a.dtype == np.float16 for a in arrays.values() if a.dtype.kind == "f")
    kept = {name: value for name, value in about.items() if name not in ("script", "preset", "weights_id")}
    identity = weights.save(model, about["script"], folder, half, **kept)
    graph_storing.save(folder)
    return f"model {identity.hex()} in '{shown(folder)}'"


if __name__ == "__main__":
    main()
