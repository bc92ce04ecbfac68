"""The door for REST: TensorFlow Serving's addresses and JSON, health, and metrics.

Gotcha: bodies are not decompressed. A few bytes could become gigabytes before any limit is asked.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Mapping
from typing import Any, Callable

import numpy as np
from aiohttp import web
from google.protobuf import json_format

from lic import ports
from lic.serving import json_tensors, statuses
from lic.serving.metrics import CONTENT_TYPE, Metrics
from lic.serving.predicting import Call, Predictor, Read
from lic.serving.refusals import Code, Refusal
from lic.serving.version import Version

_MODEL = r"/v1/models/{name:[^/:]+}"
_VERSION = r"/versions/{version:\d{1,18}}"

_SILENT = logging.getLogger(f"{__name__}.malformed")   # aiohttp would log a stack for each request that is no HTTP
_SILENT.disabled = True

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """A server of HTTP on one address."""

    def __init__(self, predictor: Predictor, metrics: Metrics, grace: float):
        self._predictor, self._metrics, self._closing = predictor, metrics, False
        app = web.Application(middlewares=[_in_json], client_max_size=predictor.limits.request_bytes)
        for address in (_MODEL, _MODEL + _VERSION):
            app.router.add_post(f"{address}:predict", self._predict)
            app.router.add_post(f"{address}:{{method:classify|regress}}", _unimplemented)
            app.router.add_get(address, self._status)
            app.router.add_get(f"{address}/metadata", self._metadata)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._page)
        app.router.add_get("/monitoring/prometheus/metrics", self._page)   # the stock server's place
        # A client that goes away gives up its request.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, auto_decompress=False,
                                     shutdown_timeout=grace, logger=_SILENT)

    async def open(self, host: str, port: int) -> int:
        """Listens, and returns the port, which is another than 0. Raises UsageError where it can't."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise ports.refusal(host, port, error, "--rest_port or --host") from None
        return self._runner.addresses[0][1]

    async def close(self) -> None:
        """Takes no more requests, and gives those under way the seconds of grace."""
        self._closing = True
        await self._runner.cleanup()

    async def _predict(self, request: web.Request) -> web.Response:
        self._predictor.require_room("rest")
        return _json(await self._predictor.answer("rest", *_asked(request), functools.partial(self._arrive, request)))

    async def _arrive(self, request: web.Request) -> Read:
        most = self._predictor.limits.request_bytes
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(Code.INVALID_ARGUMENT, "send the body without compression", 415)
        try:
            if (request.content_length or 0) > most:
                raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
            return functools.partial(_call, await request.read(), self._predictor)
        except web.HTTPRequestEntityTooLarge as error:
            raise Refusal(Code.RESOURCE_EXHAUSTED, error.text or "the body is too large", error.status) from None

    async def _status(self, request: web.Request) -> web.Response:
        return _json(_message(statuses.status(self._predictor.models, *_asked(request))))

    async def _metadata(self, request: web.Request) -> web.Response:
        name, number = _asked(request)
        version = self._predictor.models.named(name, number)
        spec = {"name": name, "signature_name": "", "version": str(version.number)}
        return _json({"model_spec": spec, "metadata": {statuses.SIGNATURES: _message(statuses.signatures(version))}})

    async def _health(self, request: web.Request) -> web.Response:
        if self._closing:
            raise Refusal(Code.UNAVAILABLE, "the server is closing")
        return _json({"status": "SERVING"})

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={"Content-Type": CONTENT_TYPE})


async def _unimplemented(request: web.Request) -> web.Response:
    raise Refusal(Code.UNIMPLEMENTED, f"this server answers predict, not {request.match_info['method']}")


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything that goes wrong is {"error": one line}."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return _json({"error": str(refusal)}, refusal.http)
    except web.HTTPNotFound:
        return _json({"error": f"Malformed request: {request.method} {request.path}"}, 400)
    except web.HTTPException as error:
        return _json({"error": error.text}, error.status)
    except Exception:
        logging.getLogger(__name__).exception("a request failed")
        return _json({"error": "an error of the server, which its log tells of"}, 500)


def _asked(request: web.Request) -> tuple[str, int | None]:
    version = request.match_info.get("version")
    return request.match_info["name"], None if version is None else int(version)


def _call(body: bytes, predictor: Predictor, version: Version) -> Call:
    document = json_tensors.parse(body)
    name, specs = version.signature(document.signature)
    return Call(name, document.arrays(specs, predictor.limits), functools.partial(_written, document))


def _written(document: json_tensors.Document, _: Version, outputs: Mapping[str, np.ndarray]) -> bytes:
    return document.answer(outputs)


def _message(message) -> dict:
    return json_format.MessageToDict(message, including_default_value_fields=True, preserving_proto_field_name=True)


def _json(body: bytes | Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=body if isinstance(body, bytes) else json.dumps(body, indent=1).encode(), status=status,
                        content_type="application/json")
