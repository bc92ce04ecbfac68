"""The door for gRPC: PredictionService and ModelService of TensorFlow Serving, and grpc.health.v1."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Mapping
from typing import Any, Callable

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from lic.errors import UsageError
from lic.serving import statuses, tensors
from lic.serving.limits import Limits
from lic.serving.predicting import Call, Predictor, Read
from lic.serving.refusals import Code, Refusal
from lic.serving.version import Version

SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


class Door:
    """A server of gRPC on one address; made on the event loop that it runs on."""

    def __init__(self, predictor: Predictor, limits: Limits):
        # Without the last a second server would share the port in silence.
        options = (("grpc.max_receive_message_length", limits.request_bytes), ("grpc.max_send_message_length", -1),
                   ("grpc.so_reuseport", 0))
        self._server = grpc.aio.server(options=options)
        self._health = _Health()
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(predictor), self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(predictor), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def open(self, host: str, port: int) -> int:
        """Listens, and returns the port, which is another than 0. Raises UsageError where it can't."""
        try:
            bound = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError:
            raise UsageError(f"can't listen on {host}:{port}: it is taken, or no address of this machine; give another "
                             "--grpc_port or --host") from None
        for service in SERVICES:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        return bound

    async def close(self, grace: float) -> None:
        """Takes no more requests, and gives those under way so many seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


class _Health(health.aio.HealthServicer):
    """The standard one, but that those who watch are let go at the end: they'd hold it up for all its grace."""

    def __init__(self):
        super().__init__()
        self._closing = asyncio.Event()

    async def Watch(self, request, context):
        watching = asyncio.ensure_future(super().Watch(request, context))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({watching, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            closing.cancel()

    async def enter_graceful_shutdown(self):
        await super().enter_graceful_shutdown()
        await asyncio.sleep(0)   # so that it is told first
        self._closing.set()


def _answering(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Turns a Refusal into a status."""
    @functools.wraps(handler)
    async def answering(self, request, context):
        try:
            return await handler(self, request, context)
        except Refusal as refusal:
            await context.abort(refusal.code, str(refusal))

    return answering


async def _unimplemented(self, request, context) -> None:
    await context.abort(Code.UNIMPLEMENTED, "this server answers Predict, GetModelMetadata and GetModelStatus")


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    @_answering
    async def Predict(self, request, context):
        async def arrive() -> Read:   # all of it is here
            return functools.partial(_call, request, self._predictor.limits)

        number = statuses.number_of(request.model_spec)
        return await self._predictor.answer("grpc", request.model_spec.name, number, arrive, context.time_remaining())

    @_answering
    async def GetModelMetadata(self, request, context):
        if list(request.metadata_field) != [statuses.SIGNATURES]:
            raise Refusal(Code.INVALID_ARGUMENT, f"metadata_field has to be '{statuses.SIGNATURES}'")
        spec = request.model_spec
        version = self._predictor.models.named(spec.name, statuses.number_of(spec))
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=model_pb2.ModelSpec(name=spec.name, version={"value": version.number}))
        response.metadata[statuses.SIGNATURES].Pack(statuses.signatures(version))
        return response

    Classify = Regress = MultiInference = _unimplemented


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, predictor: Predictor):
        self._models = predictor.models

    @_answering
    async def GetModelStatus(self, request, context):
        return statuses.status(self._models, request.model_spec.name, statuses.number_of(request.model_spec))

    HandleReloadConfigRequest = _unimplemented


def _call(request, limits: Limits, version: Version) -> Call:
    name, _ = version.signature(request.model_spec.signature_name)
    return Call(name, tensors.arrays(request.inputs, limits), functools.partial(_response, request, name))


def _response(request, signature: str, version: Version, outputs: Mapping[str, np.ndarray]):
    wanted = list(request.output_filter) or sorted(outputs)
    unknown = sorted(set(wanted) - set(outputs))
    if unknown:
        raise Refusal(Code.INVALID_ARGUMENT, f"the signature has no output {', '.join(unknown)}: it has "
                                             f"{', '.join(sorted(outputs))}")
    spec = model_pb2.ModelSpec(name=request.model_spec.name, signature_name=signature,
                               version={"value": version.number})
    return predict_pb2.PredictResponse(model_spec=spec, outputs=tensors.protos({n: outputs[n] for n in wanted}))
