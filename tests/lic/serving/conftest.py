"""Real servers in processes of their own, the stock client's stubs, and tiny exported models for them."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from tests.scripts import ROOT

SCRIPT = "hypmqw2022"   # whose tiny model is the first to be ready


def _png(pixels: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()


@pytest.fixture(scope="session")
def png(picture):
    """png(height, width, seed): the bytes of a picture."""
    return lambda height, width, seed=0: _png(picture(height, width, seed=seed)[0].astype(np.uint8))


@pytest.fixture(scope="session")
def codec(codecs):
    """Of a tiny model; of one only, as each takes a while."""
    return codecs[SCRIPT]


@pytest.fixture(scope="session")
def exported(exported) -> Path:
    """Its SavedModel."""
    return Path(exported[SCRIPT])


class Client:
    """The stock client: stubs of tensorflow-serving-api, and plain HTTP."""

    def __init__(self, grpc_address: str, rest_address: str):
        self.address, self.rest = grpc_address, f"http://{rest_address}"
        self.channel = grpc.insecure_channel(grpc_address, [("grpc.max_send_message_length", -1),
                                                            ("grpc.max_receive_message_length", -1)])
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    @staticmethod
    def request(signature: str, model: str = "tiny", **inputs) -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def predict(self, signature: str, timeout: float = 120, **inputs) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(self.request(signature, **inputs), timeout=timeout)

    def compress(self, *pictures: bytes, **options) -> list[bytes]:
        return list(self.predict("compress", image_bytes=list(pictures), **options).outputs["file_bytes"].string_val)

    def decompress(self, *files: bytes) -> list[bytes]:
        return list(self.predict("decompress", file_bytes=list(files)).outputs["image_bytes"].string_val)

    def refused(self, signature: str, **inputs) -> tuple[str, str]:
        """The code and the line that a request is refused with."""
        with pytest.raises(grpc.RpcError) as error:
            self.predict(signature, **inputs)
        return error.value.code().name, error.value.details()

    def http(self, path: str, body: bytes | dict | None = None, **headers) -> tuple[int, dict | str]:
        """The status and the answer: JSON, or text where it is none."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.rest + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                status, kind, text = response.status, response.headers["Content-Type"], response.read().decode()
        except urllib.error.HTTPError as error:
            status, kind, text = error.code, error.headers["Content-Type"], error.read().decode()
        return status, json.loads(text) if kind.startswith("application/json") else text

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        page = self.http("/metrics")[1]
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.M))


class Server(Client):
    """A `serve` that runs."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, ROOT / f"{SCRIPT}.py", "serve", *map(str, words), "--grpc_port", "0", "--rest_port", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        super().__init__(self._said("gRPC on "), self._said("REST on "))

    def _said(self, start: str) -> str:
        """The last word of the line that begins so."""
        for line in iter(self.process.stdout.readline, ""):
            if line.startswith(start):
                return line.split()[-1]
        raise AssertionError(self.process.communicate()[1])

    def stop(self, how: int = signal.SIGTERM) -> str:
        """Tells it to stop, and returns what it said since it began to serve and on stderr."""
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=120)
        return out + err


@pytest.fixture(scope="session")
def serving():
    """with serving(MODEL_DIR, flags...) as server: ..."""
    @contextlib.contextmanager
    def running(*words):
        server = Server(*words)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()

    return running


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """A SavedModel that is no codec and is loaded in a moment; its signature `nap` takes seconds and sleeps them."""
    folder = tmp_path_factory.mktemp("toy") / "1"

    @tf.function(input_signature=[tf.TensorSpec((), tf.float32, "seconds")])
    def nap(seconds):
        awake = tf.data.Dataset.from_tensors(seconds)
        asleep = tf.raw_ops.SleepDataset(
            input_dataset=tf.data.experimental.to_variant(awake), output_types=[tf.float32], output_shapes=[[]],
            sleep_microseconds=tf.cast(seconds * 1e6, tf.int64))
        slept = tf.data.experimental.from_variant(asleep, awake.element_spec)
        return {"slept": slept.reduce(0.0, lambda before, now: before + now)}

    module = tf.Module()
    module.nap = nap
    tf.saved_model.save(module, str(folder), {"nap": nap})
    return folder


@pytest.fixture(scope="session")
def server(exported, serving):
    """One server for all tests that leave it as it is: two workers, a queue of three, small limits."""
    limits = ("--workers", 2, "--queue", 3, "--max_request", 2, "--max_megapixels", 3)
    with serving(f"tiny={exported}", *limits) as running:
        yield running


@pytest.fixture(scope="session")
def b64():
    """b64(data): bytes as REST takes them."""
    return lambda data: {"b64": base64.b64encode(data).decode()}


@pytest.fixture(scope="session")
def until():
    """until(condition): waits for something that comes by itself."""
    def wait(condition) -> None:
        end = time.monotonic() + 300
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    return wait
