"""Many clients on a server at once, beside what the library does alone in one process on the same cores.

    python -m tools.serve_load                                 # the bundled model of many rates, 32 clients
    python -m tools.serve_load lsk2023 --seconds 60 --rounds 1 --queue 16

Each client sends the next request when it has its answer; one that is refused waits a moment and goes on. Requests
go round: pictures of three sizes are compressed, and their files decompressed. Server and library take turns, bytes
in and bytes out, and the ratio is that of the medians: machines are noisy. Where others work on the same cores, the
seconds of processor time that an answer takes say more than the clock does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from lic import environment
from lic.errors import DataError
from tools import command_line

SIZES = ((256, 256), (512, 384), (768, 512))
PAUSE = 0.5   # seconds after a refusal
_INPUTS = {"compress": "image_bytes", "decompress": "file_bytes"}   # by the signature


class Job(NamedTuple):
    """What is asked for: a signature, and the bytes that go in."""

    signature: str
    data: bytes


class Round(NamedTuple):
    """What became of requests, by the names of gRPC's codes, in how many seconds, and in how many of the processor."""

    outcomes: Counter
    seconds: float
    work: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.outcomes["OK"] / self.seconds

    @property
    def price(self) -> float:
        """Seconds of the processor that an answer took."""
        return self.work / self.outcomes["OK"]


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def jobs_of(codec, picture: str) -> list[Job]:
    """A picture cut to each size, to be compressed, and the files of them, to be decompressed."""
    jobs = []
    for width, height in SIZES:
        stored = io.BytesIO()
        Image.open(picture).convert("RGB").crop((0, 0, width, height)).save(stored, "PNG")
        jobs += [Job("compress", stored.getvalue()), Job("decompress", codec.compress(Image.open(stored)))]
    return jobs


# The library alone ---------------------------------------------------------------------------------------------------

def library(folder: str, picture: str) -> None:
    """Works for as many seconds as each line of stdin says, and prints how many answers it had, in how many seconds."""
    import lic
    from lic import images
    codec = lic.load(folder)
    jobs = jobs_of(codec, picture)

    def answer(job: Job) -> bytes:
        if job.signature == "compress":
            return codec.compress(Image.open(io.BytesIO(job.data)))
        return images.encode_png(codec.decompress(job.data))

    for job in jobs:   # warm
        answer(job)
    print("ready", flush=True)
    for line in sys.stdin:
        start, count = time.perf_counter(), 0
        for job in itertools.cycle(jobs):
            if time.perf_counter() - start > float(line):
                break
            answer(job)
            count += 1
        print(count, time.perf_counter() - start, flush=True)


class Library:
    """The library in a process of its own."""

    def __init__(self, process: subprocess.Popen):
        assert process.stdin and process.stdout
        self._process, self._in, self._out = process, process.stdin, process.stdout
        _line(process, "library", "ready")

    def run(self, seconds: float) -> Round:
        before = processor_seconds(self._process.pid)
        self._in.write(f"{seconds}\n")
        self._in.flush()
        count, took = _line(self._process, "library").split()
        return Round(Counter(OK=int(count)), float(took), processor_seconds(self._process.pid) - before)


@contextlib.contextmanager
def library_alone(folder: str, picture: str) -> Iterator[Library]:
    """The library, which has a model's graphs warm, until the end of the block. Raises DataError where it ends."""
    command = ("-m", "tools.serve_load", "--library", folder, "--picture", picture)
    with _process(*command, stdin=subprocess.PIPE) as started:
        yield Library(started)


# Processes -----------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def _process(*command: str, stdin: int | None = None) -> Iterator[subprocess.Popen]:
    """Python in a process that ends with the block, whatever ends that."""
    with subprocess.Popen([sys.executable, *command], stdin=stdin, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: subprocess.Popen, name: str, start: str = "") -> str:
    """The next line of a process that begins so. Raises a DataError where the process ends before."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise DataError(f"the {name} ended")


# The server ----------------------------------------------------------------------------------------------------------

class Server:
    """A server in a process of its own, and clients in this one."""

    def __init__(self, process: subprocess.Popen):
        self._process, self._address = process, _line(process, "server", "gRPC on ").split()[-1]
        _line(process, "server")   # REST

    @property
    def memory(self) -> float:
        """Resident bytes."""
        with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(self, jobs: list[Job], clients: int, seconds: float) -> Round:
        before = processor_seconds(self._process.pid)
        outcomes, took = asyncio.run(_load(self._address, jobs, clients, seconds))
        return Round(outcomes, took, processor_seconds(self._process.pid) - before)


@contextlib.contextmanager
def serving(folder: str, flags: list[str]) -> Iterator[Server]:
    """A server of the models in a folder until the end of the block. Raises DataError where it ends before."""
    ports = ["--grpc_port", "0", "--rest_port", "0"]
    with _process("lsk2023.py", "serve", f"model={folder}", *ports, *flags) as started:
        yield Server(started)


async def _load(address: str, jobs: list[Job], clients: int, seconds: float) -> tuple[Counter, float]:
    """What became of the requests of so many clients, and the seconds until each had its last answer."""
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc
    outcomes: Counter = Counter()
    turns = itertools.cycle([_request(job) for job in jobs])
    start = time.perf_counter()
    async with grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        await asyncio.gather(*(_client(stub, turns, start + seconds, outcomes) for _ in range(clients)))
    return outcomes, time.perf_counter() - start


def _request(job: Job):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    request = predict_pb2.PredictRequest(model_spec={"name": "model", "signature_name": job.signature})
    request.inputs[_INPUTS[job.signature]].CopyFrom(tf.make_tensor_proto([job.data]))
    return request


async def _client(stub, turns: Iterator, end: float, outcomes: Counter) -> None:
    """Sends one request after the other until the clock stands at `end`."""
    import grpc
    while time.perf_counter() < end:
        try:
            await stub.Predict(next(turns), timeout=600)
            outcomes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            outcomes[error.code().name] += 1
            await asyncio.sleep(PAUSE)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line.parser(__doc__, "serve_load")
    parser.add_argument("model", nargs="?", default="hypmqw2022", help="a script's name, or the folder of a model")
    parser.add_argument("--picture", default="res/eval/kodim23.png")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of the server and of the library, in turn")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--queue", default="64")
    parser.add_argument("--library", metavar="DIR", help=argparse.SUPPRESS)   # how this calls itself
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    a = arguments(words)
    environment.prepare()
    with command_line.told_in_a_line("serve_load"):
        if a.library:
            library(a.library, a.picture)
        else:
            measure(a)


def measure(a: argparse.Namespace) -> None:
    """Exports the model, and prints how server and library do on it. Raises UserErrors."""
    import lic
    from lic import export
    codec = lic.load(a.model, stored=False)   # to be exported
    jobs = jobs_of(codec, a.picture)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        exported = os.path.join(folder, "1")
        export.save(codec, exported)
        server = stack.enter_context(serving(folder, ["--workers", a.workers, "--queue", a.queue]))
        alone = stack.enter_context(library_alone(exported, a.picture))
        _compare(server, alone, jobs, a)


def _compare(server: Server, alone: Library, jobs: list[Job], a: argparse.Namespace) -> None:
    server.run(jobs, a.clients, min(a.seconds, 10))   # warm: each size for the first time
    begin, outcomes, pairs = server.memory, Counter(), []
    for _ in range(a.rounds):
        pair = server.run(jobs, a.clients, a.seconds), alone.run(a.seconds)
        pairs.append(pair)
        outcomes += pair[0].outcomes
        print(*(f"{name} {each.rate:.2f} answers a second at {each.price:.2f} s of processor;"
                for name, each in zip(("server", "library"), pair)),
              f"server's memory {server.memory / 2 ** 20:.0f} MiB", flush=True)
    refused = outcomes["RESOURCE_EXHAUSTED"]
    print(f"{sum(outcomes.values())} requests: {outcomes['OK']} answers, {refused} refusals, "
          f"{sum(outcomes.values()) - outcomes['OK'] - refused} errors {dict(outcomes)}")
    print(f"memory {begin / 2 ** 20:.0f} MiB at the begin, {server.memory / 2 ** 20:.0f} MiB at the end")
    (served, library_), (cost, price) = (
        [statistics.median(getattr(each, what) for each in column) for column in zip(*pairs)]
        for what in ("rate", "price"))
    print(f"medians: server {served:.2f}, library {library_:.2f} answers a second, ratio {served / library_:.3f}; "
          f"by processor time {price / cost:.3f}")


if __name__ == "__main__":
    main()
