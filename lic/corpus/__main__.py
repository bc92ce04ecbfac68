"""The command line of a corpus. Exit codes: 0 done, 1 some inputs failed or bad data, 2 misuse, 130 interrupted."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence

import config
from lic import bitstream, codecs, files, qualities, registry, resources
from lic.cli.argument_types import whole
from lic.cli.one_line import InOneLine
from lic.errors import DataError, UsageError, UserError

RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner", "PrismRunner")
_EXAMPLES = {
    "compress": "python -m lic.corpus compress 'photos/**/*.jpg' packed --model lsk2023 --workers 4",
    "decompress": "python -m lic.corpus decompress 'packed/**/*.tfci' restored --workers 4",
}
_ON_AN_ENGINE = ("on an engine: python -m lic.corpus compress 'gs://photos/**/*.jpg' gs://packed --runner FlinkRunner "
                 "-- --flink_master=host:8081 --environment_type=EXTERNAL --environment_config=host:50000")


class _Parser(InOneLine, argparse.ArgumentParser):
    name = "corpus"


def parser() -> argparse.ArgumentParser:
    """All flags."""
    p = _Parser(prog="python -m lic.corpus", formatter_class=argparse.RawDescriptionHelpFormatter,
                description="Compresses or decompresses a corpus with Apache Beam, and goes on where it was stopped.",
                epilog=f"example: {_EXAMPLES['compress']}\n{_ON_AN_ENGINE}")
    commands = p.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, what in (("compress", "pictures to .tfci files"), ("decompress", ".tfci files to PNG pictures")):
        c = commands.add_parser(name, help=what, description=f"{name.capitalize()}es {what}.",
                                formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog=f"example: {_EXAMPLES[name]}\n{_ON_AN_ENGINE}")
        c.add_argument("inputs", metavar="GLOB", help="in quotes; also on an object store")
        c.add_argument("out", metavar="DIR", help="gets a file for each input, manifest.jsonl with a line for each, "
                                                  "and failed.jsonl with the reason for each that is missing")
        c.add_argument("--batch", type=whole(1, None, "number"), default=8, metavar="N",
                       help="inputs of one size that are coded side by side, at most (default: 8)")
        c.add_argument("--runner", default=RUNNERS[0], choices=RUNNERS,
                       help="where it runs (default: DirectRunner, this machine); what it is to be told stands behind "
                            "--, as Beam's own flags")
        c.add_argument("--workers", type=whole(1, None, "number"), default=1, metavar="N",
                       help="processes of DirectRunner (default: 1)")
    compress, decompress = commands.choices.values()
    compress.add_argument("--model", default=codecs.DEFAULT, metavar="MODEL",
                          help="a bundled model or the folder of one, which every worker has to have (default: "
                               f"{codecs.DEFAULT})")
    compress.add_argument("--quality", type=float, metavar="Q", help="1..100, of a model for many rates (default: 50)")
    compress.add_argument("--measure", action="store_true", help="decode each file and note its PSNR")
    decompress.add_argument("--model", default="", metavar="DIR", help="of files that no bundled model made")
    return p


def run(a: argparse.Namespace, flags: list[str]) -> int:
    """Runs a parsed command and returns its exit code."""
    if a.workers > 1 and a.runner != RUNNERS[0]:
        raise UsageError("--workers goes with DirectRunner: tell another runner behind --")
    label = _label(a)
    logging.basicConfig(level=logging.ERROR)   # Beam warns of each cloud whose library is missing
    _require_beam()
    from lic.corpus import pipeline, storage
    from lic.corpus.records import Task
    inputs, out = (path if not storage.is_local(path) else os.path.abspath(path) for path in (a.inputs, a.out))
    if not storage.matches(pipeline.patterns_of(inputs)):
        raise UsageError(f"'{a.inputs}' matches no file")
    task = Task(out, bitstream.SUFFIX if a.command == "compress" else ".png", label)
    engine, work = pipeline.engine_of(a.runner, a.workers, flags), _work(a)
    try:
        counted = pipeline.run(inputs, task, work, a.batch, engine)
    except Exception as error:   # each engine has its own, most with a whole log inside
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise DataError(f"{a.runner} gave up: {reason}; the same command goes on from here") from None
    print(_summary(a, counted))
    return 1 if counted.get("failed") else 0


def _work(a: argparse.Namespace):
    from lic.corpus import handlers, pipeline, steps, storage
    if a.command == "compress":
        return pipeline.Work(handlers.Compressor(_model(a.model), a.quality, a.measure), steps.size_of_picture,
                             steps.read_picture)
    return pipeline.Work(handlers.Decompressor(_model(a.model)), steps.size_of_file, storage.read)


def _model(name: str) -> str:
    """What a worker, which may run in another folder, finds the model by."""
    return name and resources.from_anywhere(name)


def _label(a: argparse.Namespace) -> str:
    """What the outputs hang on beside their inputs. Raises UserError where the model or the quality is none."""
    if a.command == "decompress":
        if a.model:
            resources.locate(_model(a.model))
        return "decompress"
    weights_id, preset = _identity(_model(a.model))
    quality = qualities.settled(a.quality, preset)
    return f"compress {weights_id}{f' quality {quality:g}' if quality else ''}{' measure' * a.measure}"


def _identity(model: str) -> tuple[str, config.Preset]:
    """The weights id of a saved or exported model, and its preset; read without TensorFlow."""
    folder = resources.locate(model)
    for name in (resources.MODEL, resources.SAVED_ABOUT):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            try:
                about = json.loads(files.read_bytes(path))
                return about["weights_id"], registry.described(about)
            except (ValueError, KeyError, TypeError):
                raise DataError(f"no model in '{files.shown(folder)}': {name} is broken") from None
    raise UsageError(f"'{files.shown(folder)}' is a training run: give the model that it saved")


def _require_beam() -> None:
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        raise UsageError("a corpus runs on Apache Beam, which is missing: pip install '.[beam]' (Python 3.10 or "
                         "newer)") from None


def _summary(a: argparse.Namespace, counted: dict[str, int]) -> str:
    written, before, failed = (counted.get(name, 0) for name in ("written", "done before", "failed"))
    rate = ""
    if written and a.command == "compress":
        rate = f" ({counted['bytes']} bytes, {8 * counted['bytes'] / counted['pixels']:.4f} bits per pixel)"
    return f"{written} written{rate}, {before} done before, {failed} failed: see manifest.jsonl" + (
        " and failed.jsonl" if failed else "") + f" in '{files.shown(a.out)}'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    a = parser().parse_args(words[:end])
    try:
        return run(a, words[end + 1:])
    except UserError as error:
        print(f"corpus: {files.shown(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("corpus: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
