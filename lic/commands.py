"""What the commands do. TensorFlow is imported only by those that need it."""

from __future__ import annotations

import argparse
import functools
import glob
import json
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Callable

import config
from lic import bitstream, environment, files, memory, overlap, registry, resources, tiling
from lic.errors import DataError, UsageError, UserError

Progress = Callable[[Iterable], Iterable]   # wraps steps, as tqdm does
Bar = Callable[[str], Progress]              # of steps of that name
_STREAMS = re.compile(r"/dev/std(out|err)|/(dev|proc/self)/fd/[12]")


class Stopwatch:
    """Seconds of named stages."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def __str__(self):
        return ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.seconds.items())


def train(script: str, a: argparse.Namespace) -> None:
    """`train`: to the end, or on from where a run stopped."""
    preset = registry.preset(script, a.preset)
    _prepare(a.runtime)
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
    jobs = _jobs(a, bitstream.SUFFIX, is_output=lambda name: name.lower().endswith(bitstream.SUFFIX))
    folder = _model_folder(script, a.model_path)
    watch = Stopwatch()
    with watch("start"):
        from lic import images
        coder = _codec(folder, a.runtime)
    _check_wish(coder, a)

    def need_of(source: str) -> float | None:
        size = images.size_told_by(files.beginning(source))
        return coder.memory_of(*size, a.effort) if size else None

    _share_cores(jobs, a, need_of)
    room = overlap.Room(memory.budget())

    def one(source: str, target: str, bar: Bar) -> Callable[[], None]:
        watch, notes, quality, figures = Stopwatch(), [], a.quality, None
        with room.of(need_of(source) or math.inf):   # the pixels of what waits would be no small part of it
            with watch("read"):
                picture = images.read(source)
                notes += picture.notes
            if a.bpp or a.psnr:
                with watch("choose the quality"):
                    quality, missed = _nearest_quality(coder, picture.pixels, a)
                    notes += missed
            with watch("compress"):
                data = coder.compress_pixels(picture.pixels, a.tile, a.verify, bar("compressing"), quality, a.effort)
            if a.verbose:
                with watch("decompress"):
                    restored = coder.decompress(data, progress=bar("decompressing"))
                    figures = restored.shape[:2], picture.pixels, restored

        def finish() -> None:
            for note in notes:
                _note(f"{files.shown(source)}: {note}")
            with watch("write"):
                files.write_atomically(target, data)
            if figures:
                _print_figures(source, target, len(data), *figures, watch)

        return finish

    code = _for_each(script, jobs, one, side_by_side=not a.verbose)
    if a.verbose:
        print(f"{watch} (TensorFlow and the model)")
    return code


def _check_wish(coder, a: argparse.Namespace) -> None:
    if not coder.variable and (a.quality or a.bpp or a.psnr):
        raise UsageError("the model has one rate: --quality, --bpp and --psnr go with models of many rates")
    coder.check_effort(a.effort)


def _nearest_quality(coder, pixels, a: argparse.Namespace) -> tuple[float, list[str]]:
    """The quality that comes nearest to the rate or PSNR asked for, and a line where that is not near."""
    from lic import rate_control
    wish, target, unit = ("bpp", a.bpp, "bits per pixel") if a.bpp else ("psnr", a.psnr, "dB")
    choice = rate_control.choose(coder, pixels, wish, target)
    return choice.quality, [] if choice.met else [
        f"{target:g} {unit} can't be reached: the nearest is about {choice.value:.4g}, with quality {choice.quality:g}"]


def decompress(script: str, a: argparse.Namespace) -> int:
    """`decompress`: files to pictures, each with the model that made it."""
    jobs = _jobs(a, ".png", is_output=lambda name: not name.lower().endswith(bitstream.SUFFIX))
    if a.original and len(jobs) > 1:
        raise UsageError("--original goes with one file")
    given = _model_folder(script, a.model_path) if a.model_path else None
    from lic import images
    for _, target in jobs:
        images.check_suffix(os.path.splitext(target)[1])
    coders: dict = {}
    one_loads, room = threading.Lock(), overlap.Room(memory.budget())

    def coder_of(header: bitstream.Header):
        folder = given or _model_of(header)
        with one_loads:
            if folder not in coders:
                coders[folder] = _codec(folder, a.runtime)
        return coders[folder]

    def need_of(source: str) -> float | None:
        with suppress(UserError):   # which comes again when all of it is read
            header = bitstream.head(files.beginning(source))
            return coder_of(header).memory_of(header.height, header.width)
        return None

    _share_cores(jobs, a, need_of)

    def one(source: str, target: str, bar: Bar) -> Callable[[], None]:
        watch, figures = Stopwatch(), None
        with watch("read"):
            data = files.read_bytes(source)
            header, _ = bitstream.parse(data)
            original = _original(a.original, a.crop) if a.original else None
        with watch("start"):
            coder = coder_of(header)
        with room.of(coder.memory_of(header.height, header.width)):
            with watch("decompress"):
                pixels = coder.decompress(data, a.crop, bar("decompressing"))
            with watch("write"):
                picture = images.encode(pixels, os.path.splitext(target)[1])
        if a.verbose or a.original:
            figures = (header.height, header.width), original, pixels   # else they would wait for the jobs before this

        def finish() -> None:
            with watch("write"):
                files.write_atomically(target, picture)
            if figures:
                _print_figures(source, target, len(data), *figures, watch)

        return finish

    return _for_each(script, jobs, one, side_by_side=not a.verbose)


def export(script: str, a: argparse.Namespace) -> None:
    """`export`: a SavedModel."""
    coder = _codec(_model_folder(script, a.model_path), a.runtime, stored=False)
    from lic import export as exporting
    exporting.save(coder, a.folder)
    print(f"SavedModel with signatures compress and decompress in '{files.shown(a.folder)}'")


def serve(script: str, a: argparse.Namespace) -> None:
    """`serve`: models over gRPC and REST, until it is told to stop."""
    from lic.serving import folders, settings
    settings.check(a.serving)
    bases = folders.named(a.models, script)
    settings.require_packages()
    settings.demand_ports(a.serving)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")   # it would log besides what is told in one line here
    _prepare(a.runtime)
    from lic.serving import exporting, server
    with exporting.exported(bases, a.runtime, _say) as served:
        server.serve(served, a.serving, _say)


def _say(line: str) -> None:
    """A line about the server, at once."""
    with suppress(BrokenPipeError):   # it serves on where nobody listens any more
        print(line, flush=True)


def convert(script: str, a: argparse.Namespace) -> None:
    """`convert`: a PyTorch checkpoint to a model folder."""
    folder = a.out or f"{a.checkpoint}.model"
    files.require_new_folder(folder)
    watch = Stopwatch()
    with _stage(watch, "read"):
        from lic import torch_checkpoints
        checkpoint = torch_checkpoints.read(a.checkpoint)
    with _stage(watch, "start"):
        _prepare(a.runtime)
        from lic import convert as converting
    with _stage(watch, "convert"):
        model = _fitted(converting, script, checkpoint)
    with _stage(watch, "write"):
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


@contextmanager
def _stage(watch: Stopwatch, name: str) -> Iterator[None]:
    """A stage of long work, timed; on a terminal its name stands there as long as it takes."""
    from tqdm import tqdm
    with watch(name), tqdm(desc=name, bar_format="{desc} ...", leave=False, disable=not sys.stderr.isatty()):
        yield


def info(script: str, a: argparse.Namespace) -> None:
    """`info`: what a file, a model or a preset is."""
    if a.target and a.preset:
        raise UsageError("give a file or model, or --preset, not both")
    if a.target and not os.path.isdir(a.target):
        facts = _about_file(a.target)
    elif a.target:
        facts = _about_model(_model_folder(script, a.target), a.runtime)
    else:
        facts = _about_preset(script, registry.preset(script, a.preset))
    if a.json:
        print(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {files.shown(_readable(value))}")


def evaluate(script: str, a: argparse.Namespace) -> int:
    """`evaluate`: rate and distortion of models beside classical codecs, as a report."""
    paths = _expanded(a.inputs)
    folders = [resources.locate(name) for name in a.model_path or [script]]
    from lic.evaluation import classical, learned, measuring, report, samples
    from lic.evaluation.results import results
    report.check_target(a.out)
    against = classical.chosen(a.against)
    coders = [_codec(folder, a.runtime) for folder in folders]
    settings = learned.settings(coders, a.quality, a.effort) + classical.settings(against)
    learned.warm_up(coders)
    with _counter(len(paths) * len(settings)) as bar:
        measured = measuring.measure(paths, settings, samples.evenly(paths), bar, functools.partial(_tell, script))
    found = results(measured, learned.about(coders, a.effort), against)
    print(report.summary(found))
    report.write(found, a.out)
    print(f"report in '{files.shown(os.path.join(a.out, 'index.html'))}'")
    return 1 if measured.failed else 0


def demo(script: str, a: argparse.Namespace) -> None:
    """`demo`: a page in the browser, until Ctrl-C."""
    folder = _model_folder(script, a.model_path)
    from lic.demo import server
    from lic.evaluation import classical
    against = classical.chosen(a.against)
    server.demand(a.port)
    server.serve(_codec(folder, a.runtime), against, a.port)


# Inputs and outputs --------------------------------------------------------------------------------------------------

def _jobs(a: argparse.Namespace, suffix: str, is_output: Callable[[str], bool]) -> list[tuple[str, str]]:
    """(source, target) of each input; refuses what would write over a source or write one file twice."""
    names, target = list(a.inputs), None
    _refuse_streams(names)
    if len(names) == 2 and is_output(names[1]):
        target = names.pop()
        if a.out:
            raise UsageError("give the name of the output or --out, not both")
    sources = _expanded(names)
    if target and len(sources) > 1:
        raise UsageError(f"{len(sources)} inputs can't go into the one file '{target}': give --out DIR")
    jobs = [(s, target or _target(s, suffix, a.out)) for s in sources]
    _refuse_clashes(jobs)
    return _without_done(jobs) if a.keep else jobs


def _without_done(jobs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The jobs whose outputs are not there yet."""
    left = [(source, target) for source, target in jobs if not os.path.lexists(target)]
    if len(left) < len(jobs):
        _note(f"{len(jobs) - len(left)} of {len(jobs)} outputs exist and are left as they are")
    return left


def _refuse_streams(names: Iterable[str]) -> None:
    """What is taken for a picture would be waited for."""
    for name in names:
        if name == "-" or _STREAMS.fullmatch(name):
            raise UsageError(f"'{name}' is a stream: files are written whole, under a name; give names of files")


def _expanded(names: Iterable[str]) -> list[str]:
    """The paths that names and globs stand for, each once."""
    return list(dict.fromkeys(path for name in names for path in _expand(name)))


def _expand(name: str) -> list[str]:
    if os.path.exists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not found:
        raise UsageError(f"'{name}' matches no file")
    return found


def _target(source: str, suffix: str, folder: str | None) -> str:
    return (os.path.join(folder, os.path.basename(source)) if folder else source) + suffix


def _refuse_clashes(jobs: list[tuple[str, str]]) -> None:
    sources = {os.path.realpath(source) for source, _ in jobs}
    targets: set[str] = set()
    for _, target in jobs:
        real = os.path.realpath(target)
        if real in sources:
            raise UsageError(f"'{target}' would be written over an input: give another name")
        if real in targets:
            raise UsageError(f"two inputs would be written to '{target}': take them in two goes, each with an --out "
                             "of its own (python -m lic.corpus keeps their folders)")
        targets.add(real)


def _share_cores(jobs: list[tuple[str, str]], a: argparse.Namespace, need_of: Callable[[str], float | None]) -> None:
    """Gives each of many small files one core.

    Args:
      need_of: tells the bytes of memory that a source takes, or None.
    """
    needs = (need_of(source) for source, _ in overlap.sample(jobs))
    alone = a.verbose or a.runtime.threads
    if not alone and overlap.have_a_core_each(len(jobs), needs, memory.budget()):
        from lic import loading
        loading.give_operations_one_thread()


def _for_each(script: str, jobs: list[tuple[str, str]], work: Callable[[str, str, Bar], Callable[[], None]],
              side_by_side: bool) -> int:
    """Does each job, with a bar where there are several; a bad one is told of and does not stop the rest.

    Args:
      work: takes source, target and what shows tiles; returns what is left to do, which is done in the jobs' order.
      side_by_side: whether several jobs may be worked on at the same time.
    """
    from tqdm import tqdm
    stop, failed = overlap.Stop(), 0
    workers = overlap.workers_for(jobs) if side_by_side else 1
    bar = _bar if workers == 1 else lambda what: stop.heed

    def begun(source: str, target: str) -> Callable[[], None]:
        _make_folder_of(target)
        return work(source, target, bar)

    outcomes = overlap.outcomes(begun, jobs, workers, stop)
    with closing(outcomes), tqdm(jobs, disable=len(jobs) < 2 or not sys.stderr.isatty(), unit="file") as all_:
        for (source, _), outcome in zip(all_, outcomes):
            try:
                outcome()()
            except UserError as error:
                _tell(script, source, error)
                failed = max(failed, error.exit_code)
    return failed


def _tell(script: str, source: str, error: UserError) -> None:
    """One line about an input that failed."""
    _note(f"{script}: {files.shown(_named(source, error))}")


def _note(line: str) -> None:
    """One line on standard error, above whatever bar there is."""
    from tqdm import tqdm
    tqdm.write(line, file=sys.stderr)


def _counter(total: int):
    """A bar over the files of an evaluation."""
    from tqdm import tqdm
    return tqdm(total=total, unit="file", disable=not sys.stderr.isatty())


def _bar(what: str) -> Progress:
    """A bar over the tiles of a picture that has several, or over steps of refinement."""
    from tqdm import tqdm

    def bar(steps):
        return tqdm(steps, desc=what, unit="step", leave=False, disable=len(steps) < 2 or not sys.stderr.isatty())

    return bar


def _make_folder_of(target: str) -> None:
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"cannot write {files.shown(target)}: a part of this path is a file, not a directory") from None
    except OSError as error:
        raise DataError(f"cannot write {files.shown(target)}: {error.strerror}") from None


def _named(source: str, error: UserError) -> str:
    """An error's line, with the name of the input that it is about."""
    name = files.shown(source)
    return str(error) if name in str(error) else f"{name}: {error}"


# Models and figures --------------------------------------------------------------------------------------------------

def _prepare(runtime: config.Runtime) -> None:
    """Imports TensorFlow quietly and sets its switches."""
    with environment.importing():
        import absl.logging
        import tensorflow as tf

        from lic import loading
    tf.get_logger().setLevel("ERROR")
    absl.logging.set_verbosity(absl.logging.ERROR)
    loading.apply(runtime)


def _codec(folder: str, runtime: config.Runtime, stored: bool = True):
    _prepare(runtime)
    from lic import loading
    return loading.load(folder, runtime, stored)


def _model_folder(script: str, path: str | None) -> str:
    """The folder of the model to use; a folder may have the name of a script."""
    return resources.locate(os.path.join(".", path) if path else script)


def _model_of(header: bitstream.Header) -> str:
    """The folder of the bundled model that made a file."""
    folder = resources.find(header.weights_id)
    if folder is None:
        known = registry.maker_of(header)
        name = f" of {' '.join(known)}" if known else ""
        raise DataError(f"the file was made by model {header.weights_id.hex()}{name}, which is not bundled: "
                        "give its folder with --model_path")
    return folder


def _original(path: str, crop: tuple[int, int, int, int] | None):
    """The pixels of the picture to compare with, or a part of them."""
    from lic import images
    pixels = images.read(path).pixels
    if crop:
        x, y, width, height = crop
        pixels = pixels[max(y, 0):y + height, max(x, 0):x + width]
    return pixels


def _print_figures(source, target, size: int, sides, original, pixels, watch: Stopwatch) -> None:
    from lic import metrics
    height, width = pixels.shape[:2]
    part = "" if (height, width) == sides else f" of {sides[1]} x {sides[0]}"
    print(f"{files.shown(source)} -> {files.shown(target)}: {width} x {height}{part}")
    if original is not None:
        similarity = metrics.ms_ssim(original, pixels)
        print(f"  MSE {metrics.mse(original, pixels):.4f}, PSNR {metrics.psnr(original, pixels):.3f} dB, MS-SSIM "
              + ("not defined below 161 pixels" if similarity is None
                 else f"{similarity:.5f} ({metrics.ms_ssim_db(similarity):.3f} dB)"))
    print(f"  {size} bytes, {metrics.bits_per_pixel(size, *sides):.4f} bits per pixel of the file")
    print(f"  {watch}")


def _about_file(path: str) -> dict:
    data = files.read_bytes(path)
    try:
        header, records = bitstream.parse(data)
    except DataError as error:
        raise DataError(_named(path, error)) from None
    script, preset = registry.maker_of(header) or ("unknown", "unknown")
    bundled = resources.find(header.weights_id)
    return {
        "file": path, "script": script, "preset": preset,
        "weights_id": header.weights_id.hex(), "bundled": bundled is not None,
        "arithmetic": header.arithmetic.name.lower(), "quality": header.quality or "none",
        "width": header.width, "height": header.height,
        "bytes": len(data), "bits_per_pixel": round(8 * len(data) / (header.width * header.height), 6),
        "tiles": len(records), "tile": " x ".join(map(str, header.tile[::-1])) if header.tile else "none",
        "string_bytes": [sum(map(len, strings)) for strings in zip(*(r.strings for r in records))]}


def _about_model(folder: str, runtime: config.Runtime) -> dict:
    _prepare(runtime)
    from lic import loading, weights
    if os.path.isfile(os.path.join(folder, resources.SAVED_MODEL)):
        about = weights.describe(os.path.join(folder, resources.SAVED_EXTRA))
    elif os.path.isfile(os.path.join(folder, resources.MODEL)):
        about = weights.describe(folder)
    else:
        about = loading.load(folder, runtime).about
    preset = registry.described(about)
    return {"folder": os.path.normpath(folder), **about, **_about_preset(about["script"], preset)}


def _about_preset(script: str, preset: config.Preset) -> dict:
    _prepare(config.Runtime())
    from lic import complexity
    model = registry.build(script, preset)
    networks, prior = complexity.parameters(model)
    return {"script": script, "preset": preset.name, "parameters": networks, "parameters_of_the_prior": prior,
            "kmacs_per_pixel": complexity.kmacs_per_pixel(model), "architecture": config.as_dict(preset)}


def _readable(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(v)}" for name, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and value > 99999 else str(value)
