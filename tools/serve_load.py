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
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import NamedTuple

from PIL import Image

from lic import environment

SIZES = ((256, 256), (512, 384), (768, 512))
PAUSE = 0.5   # seconds after a refusal


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

    def __init__(self, folder: str, picture: str):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.serve_load", "--library", folder, "--picture", picture],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        self._out.readline()

    def run(self, seconds: float) -> Round:
        before = processor_seconds(self._process.pid)
        self._in.write(f"{seconds}\n")
        self._in.flush()
        count, took = self._out.readline().split()
        return Round(Counter(OK=int(count)), float(took), processor_seconds(self._process.pid) - before)

    def close(self) -> None:
        self._in.close()
        self._process.wait()


# The server ----------------------------------------------------------------------------------------------------------

class Server:
    """A server in a process of its own, and clients in this one."""

    def __init__(self, folder: str, flags: list[str]):
        self._process = subprocess.Popen(
            [sys.executable, "lsk2023.py", "serve", f"model={folder}", "--grpc_port", "0", "--rest_port", "0", *flags],
            stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        lines = iter(self._process.stdout.readline, "")
        self._address = next(line.split()[-1] for line in lines if line.startswith("gRPC on "))
        next(lines)

    @property
    def memory(self) -> float:
        """Resident bytes."""
        with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(self, jobs: list[Job], clients: int, seconds: float) -> Round:
        before = processor_seconds(self._process.pid)
        outcomes, took = asyncio.run(_clients(self._address, jobs, clients, seconds))
        return Round(outcomes, took, processor_seconds(self._process.pid) - before)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


async def _clients(address: str, jobs: list[Job], clients: int, seconds: float) -> tuple[Counter, float]:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    inputs = {"compress": "image_bytes", "decompress": "file_bytes"}
    requests = []
    for job in jobs:
        request = predict_pb2.PredictRequest(model_spec={"name": "model", "signature_name": job.signature})
        request.inputs[inputs[job.signature]].CopyFrom(tf.make_tensor_proto([job.data]))
        requests.append(request)
    outcomes: Counter = Counter()
    turns = itertools.cycle(requests)
    start = time.perf_counter()

    async def client(stub) -> None:
        while time.perf_counter() - start < seconds:
            try:
                await stub.Predict(next(turns), timeout=600)
                outcomes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
                await asyncio.sleep(PAUSE)

    async with grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        await asyncio.gather(*(client(stub) for _ in range(clients)))
    return outcomes, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="hypmqw2022", help="a script's name, or the folder of a model")
    parser.add_argument("--picture", default="res/eval/kodim23.png")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of the server and of the library, in turn")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--queue", default="64")
    parser.add_argument("--library", metavar="DIR", help=argparse.SUPPRESS)   # how this calls itself
    a = parser.parse_args()
    environment.prepare()
    if a.library:
        return library(a.library, a.picture)
    import lic
    from lic import export
    codec = lic.load(a.model, stored=False)   # to be exported
    jobs = jobs_of(codec, a.picture)
    with tempfile.TemporaryDirectory() as folder:
        exported = os.path.join(folder, "1")
        export.save(codec, exported)
        server, alone = Server(folder, ["--workers", a.workers, "--queue", a.queue]), Library(exported, a.picture)
        try:
            _compare(server, alone, jobs, a)
        finally:
            server.close()
            alone.close()


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
