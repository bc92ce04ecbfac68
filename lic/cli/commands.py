"""What the commands do. TensorFlow is imported only by those that need it."""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import config
from lic import bitstream, files, registry, resources, tiling
from lic.cli import facts, jobs, notes, paths, progress, starting
from lic.cli.stopwatch import Stopwatch
from lic.errors import UsageError

if TYPE_CHECKING:
    from lic.cli.compressing import Compression
    from lic.cli.decompressing import Decompression


def train(script: str, a: argparse.Namespace) -> None:
    """`train`: to the end, or on from where a run stopped."""
    preset = registry.preset(script, a.preset)
    starting.tensorflow(a.runtime)
    if a.export_step:
        return _export_step(script, preset, a)
    from lic.training import Run
    Run(script, preset, a.training, a.runtime).train()


def _export_step(script: str, preset: config.Preset, a: argparse.Namespace) -> None:
    from lic import step_export
    settings, shown = a.training, files.shown(a.export_step)
    step = step_export.export(script, preset, settings, a.export_step, a.runtime)
    print(f"step {int(step.steps)} of {script} {preset.name}, for batches of {settings.batchsize} x "
          f"{settings.patchsize}x{settings.patchsize}, in '{shown}'; where jax is:\n"
          f"python {shown}/pjrt_train.pyz {shown} --pictures 'pics/**/*.jpg'")


def compress(script: str, a: argparse.Namespace) -> int:
    """`compress`: pictures to files."""
    if a.tile is not None:
        tiling.check_side(a.tile)
    pairs = paths.pairs(a, bitstream.SUFFIX, is_output=lambda name: name.lower().endswith(bitstream.SUFFIX))
    folder = starting.model_folder(script, a.model_path)
    watch = Stopwatch()
    with watch("start"):
        from lic.cli.compressing import Compression
        codec = starting.codec(folder, a.runtime)
    code = _done(script, a, pairs, Compression(codec, a))
    if a.verbose:
        print(f"{watch} (TensorFlow and the model)")
    return code


def decompress(script: str, a: argparse.Namespace) -> int:
    """`decompress`: files to pictures, each with the model that made it."""
    pairs = paths.pairs(a, ".png", is_output=lambda name: not name.lower().endswith(bitstream.SUFFIX))
    if a.original and len(pairs) > 1:
        raise UsageError("--original goes with one file")
    folder = starting.model_folder(script, a.model_path) if a.model_path else None
    from lic import images
    from lic.cli.decompressing import Decompression
    for _, target in pairs:
        images.check_suffix(os.path.splitext(target)[1])
    return _done(script, a, pairs, Decompression(folder, a))


def _done(script: str, a: argparse.Namespace, pairs: list[tuple[str, str]], work: Compression | Decompression) -> int:
    """Does each job, several at a time unless each is to be timed. Returns the exit code."""
    if not (a.verbose or a.runtime.threads):
        jobs.share_cores(pairs, work.need_of)
    return jobs.do(script, pairs, work, side_by_side=not a.verbose)


def export(script: str, a: argparse.Namespace) -> None:
    """`export`: a SavedModel."""
    codec = starting.codec(starting.model_folder(script, a.model_path), a.runtime, stored=False)
    from lic import export as exporting
    exporting.save(codec, a.folder)
    signatures = "compress, compress_at and decompress" if codec.variable else "compress and decompress"
    print(f"SavedModel with signatures {signatures} in '{files.shown(a.folder)}'")


def serve(script: str, a: argparse.Namespace) -> None:
    """`serve`: models over gRPC and REST, until it is told to stop."""
    from lic.serving import folders, settings
    settings.check(a.serving)
    bases = folders.named(a.models, script)
    settings.require_packages()
    settings.demand_ports(a.serving)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")   # it would log besides what is told in one line here
    starting.tensorflow(a.runtime)
    from lic.serving import exporting, server
    with exporting.exported(bases, a.runtime, _say) as served:
        server.serve(served, a.serving, _say)


def _say(line: str) -> None:
    """A line about the server, at once."""
    with suppress(OSError):   # it serves on where nobody listens any more, or the disk is full
        print(line, flush=True)


def convert(script: str, a: argparse.Namespace) -> None:
    """`convert`: a PyTorch checkpoint to a model folder."""
    folder = a.out or f"{a.checkpoint}.model"
    files.require_new_folder(folder)
    watch = Stopwatch()
    with progress.stage(watch, "read"):
        from lic import torch_checkpoints
        checkpoint = torch_checkpoints.read(a.checkpoint)
    with progress.stage(watch, "start"):
        starting.tensorflow(a.runtime)
        from lic import convert as converting
    with progress.stage(watch, "convert"):
        model = _fitted(converting, script, checkpoint)
    with progress.stage(watch, "write"):
        identity = converting.save(model, script, folder, checkpoint.origin(a.checkpoint))
    print(f"{script} {model.preset.name}, weights {identity.hex()}, in '{files.shown(folder)}'")
    if a.verbose:
        print(watch)


def _fitted(converting, script: str, checkpoint):
    """The model with the checkpoint's weights; what does not fit is listed."""
    try:
        return converting.model_of(script, checkpoint.state_dict)
    except converting.Misfit as error:
        for line in error.findings:
            print(files.shown(line), file=sys.stderr)
        raise


def info(script: str, a: argparse.Namespace) -> None:
    """`info`: what a file, a model or a preset is."""
    if a.target and a.preset:
        raise UsageError("give a file or model, or --preset, not both")
    if a.target is not None and not os.path.isdir(a.target):
        found = facts.of_file(a.target)
    elif a.target:
        found = facts.of_model(starting.model_folder(script, a.target), a.runtime)
    else:
        found = facts.of_preset(script, registry.preset(script, a.preset))
    print(json.dumps(found, indent=2) if a.json else "\n".join(facts.lines(found)))


def evaluate(script: str, a: argparse.Namespace) -> int:
    """`evaluate`: rate and distortion of models beside classical codecs, as a report."""
    pictures = paths.expanded(a.inputs)
    folders = [resources.locate(name) for name in a.model_path or [script]]
    from lic.evaluation import classical, learned, measuring, report, samples
    from lic.evaluation.results import results
    report.check_target(a.out)
    against = classical.chosen(a.against)
    codecs = [starting.codec(folder, a.runtime) for folder in folders]
    settings = learned.settings(codecs, a.quality, a.effort) + classical.settings(against)
    learned.warm_up(codecs)
    with progress.counter(len(pictures) * len(settings)) as bar:
        measured = measuring.measure(pictures, settings, samples.evenly(pictures), bar,
                                     functools.partial(notes.tell, script))
    found = results(measured, learned.about(codecs, a.effort), against)
    print(report.summary(found))
    report.write(found, a.out)
    print(f"report in '{files.shown(os.path.join(a.out, 'index.html'))}'")
    return 1 if measured.failed else 0


def demo(script: str, a: argparse.Namespace) -> None:
    """`demo`: a page in the browser, until Ctrl-C."""
    folder = starting.model_folder(script, a.model_path)
    from lic.demo import server
    from lic.evaluation import classical
    against = classical.chosen(a.against)
    server.demand(a.port)
    server.serve(starting.codec(folder, a.runtime), against, a.port)
