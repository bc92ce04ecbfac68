"""The whole run as one Beam pipeline: what there is to do is found, done in batches of one size, and written down.

Gotcha: DirectRunner means Beam's FnApiRunner here. Beam's own DirectRunner first tries to download another program,
Prism, which knows nothing of several processes. These are ours (`lic.corpus.worker`): Beam's would log all they do.
"""

from __future__ import annotations

import functools
import json
import shlex
import sys
from typing import Any, Callable, NamedTuple

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from lic.corpus import steps
from lic.corpus.records import Task

MANIFEST, FAILURES = "manifest.jsonl", "failed.jsonl"
_WORKER = f"{shlex.quote(sys.executable)} -m lic.corpus.worker"   # for a shell


class Work(NamedTuple):
    """What makes `compress` differ from `decompress`: the handler, and how sizes and inputs are read."""

    handler: ModelHandler
    size_of: Callable[[str], steps.Size]
    read: Callable[[str], Any]


class Engine(NamedTuple):
    """What runs a pipeline, and what it is told; without a runner the options name one."""

    runner: FnApiRunner | None
    options: PipelineOptions


def run(pattern: str, task: Task, work: Work, batch: int, engine: Engine) -> dict[str, int]:
    """Does it all and returns what was counted: "done before", "written", "failed", "bytes" and "pixels" written."""
    pipeline = beam.Pipeline(engine.runner, engine.options)
    build(pipeline, pattern, task, work, batch)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace(steps.COUNTERS))["counters"]
    return {counter.key.metric.name: counter.result for counter in found}


def build(pipeline: beam.Pipeline, pattern: str, task: Task, work: Work, batch: int) -> None:
    """Lays the pipeline out."""
    surveyed = (pipeline
                | "patterns" >> beam.Create(patterns_of(pattern))
                | "match" >> fileio.MatchAll()
                | "survey" >> beam.ParDo(steps.Survey(task, base_of(pattern), work.size_of)).with_outputs(
                    steps.DONE, main="to do"))
    read = (surveyed["to do"]
            | "by size" >> beam.GroupByKey()
            | "batch" >> beam.FlatMap(functools.partial(steps.batches, most=batch))
            | "spread" >> beam.Reshuffle()   # a size that all have must not go to one worker alone
            | "read" >> beam.ParDo(steps.Read(work.read)).with_outputs(steps.FAILED, main="inputs"))
    kept = (read["inputs"]
            | "infer" >> RunInference(KeyedModelHandler(work.handler).with_no_batching())
            | "keep" >> beam.ParDo(steps.Keep(task)).with_outputs(steps.FAILED, main="records"))
    _write("manifest", (surveyed[steps.DONE], kept["records"]), FileSystems.join(task.out, MANIFEST))
    _write("failures", (read[steps.FAILED], kept[steps.FAILED]), FileSystems.join(task.out, FAILURES))


def _write(name: str, collections: tuple[beam.PCollection, ...], path: str) -> None:
    """A file of JSON, a line for each."""
    _ = (collections
         | f"all {name}" >> beam.Flatten()
         | f"{name} as JSON" >> beam.Map(functools.partial(json.dumps, sort_keys=True))
         | f"write {name}" >> beam.io.WriteToText(path, num_shards=1, shard_name_template=""))


def patterns_of(glob: str) -> list[str]:
    """A glob as Python means it in Beam's patterns, whose **/ is at least one folder and not any number."""
    head, sign, rest = glob.partition("**/")
    return [before + tail for tail in patterns_of(rest) for before in (head + sign, head)] if sign else [glob]


def base_of(pattern: str) -> str:
    """The folder that a glob begins with; names of outputs are what matches below it."""
    plain = pattern[:min([pattern.find(sign) for sign in "*?[" if sign in pattern], default=len(pattern))]
    return plain[:plain.rfind("/") + 1]


def engine_of(runner: str, workers: int, flags: list[str]) -> Engine:
    """The engine of a name, its processes where it is this machine, and whatever else it is to be told."""
    quiet = "--default_sdk_harness_log_level=ERROR"   # before the flags, which may want it otherwise
    if runner != "DirectRunner":
        return Engine(None, PipelineOptions([quiet, *flags, f"--runner={runner}"]))
    apart = SubprocessSDKEnvironment.from_command_string(_WORKER) if workers > 1 else None
    return Engine(FnApiRunner(apart), PipelineOptions([quiet, *flags, f"--direct_num_workers={workers}"]))
