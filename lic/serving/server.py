"""The whole server: models, workers, two doors, and an orderly end.

SIGTERM or Ctrl-C closes the doors; requests that wait or are under way are finished, for at most the seconds of grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping

import config
from lic import interrupts
from lic.serving import grpc_door, rest_door
from lic.serving.limits import Limits
from lic.serving.metrics import Metrics
from lic.serving.models import Models, Tell
from lic.serving.predicting import Predictor
from lic.serving.work import Workers

_MEGA = 1_000_000


def serve(bases: Mapping[str, str], settings: config.Serving, tell: Tell) -> None:
    """Serves until it is told to stop.

    Args:
      bases: the folder of each model by its name, as `folders` describes it.
      tell: takes a line for whoever runs the server.
    Raises:
      DataError: a model can't be loaded.
      UsageError: an address can't be listened on.
    """
    models = Models(bases, tell)
    models.load()
    asyncio.run(_run(models, settings, tell))


async def _run(models: Models, settings: config.Serving, tell: Tell) -> None:
    stop = _stop_signal()
    workers = Workers(settings.workers, settings.queue)
    limits = Limits(int(settings.max_request * _MEGA), int(settings.max_megapixels * _MEGA))
    metrics = Metrics(models.served, lambda: workers.waiting, lambda: workers.running)
    predictor = Predictor(models, workers, limits, metrics, settings.timeout)
    grpc, rest = grpc_door.Door(predictor, limits), rest_door.Door(predictor, metrics, settings.grace)
    watch = asyncio.ensure_future(models.watch(settings.poll))
    try:
        tell(f"gRPC on {settings.host}:{await grpc.open(settings.host, settings.grpc_port)}")
        tell(f"REST on {settings.host}:{await rest.open(settings.host, settings.rest_port)}")
        await stop.wait()
        tell("closing: requests under way are finished")
    finally:
        watch.cancel()
        await asyncio.gather(grpc.close(settings.grace), rest.close())
        await asyncio.to_thread(workers.close)
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await models.close()


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or Ctrl-C; the next one ends the process at once."""
    stop, loop, signals = asyncio.Event(), asyncio.get_running_loop(), interrupts.heard()

    def once() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)   # Python's own, of Ctrl-C, would wait for the workers

    for number in signals:
        loop.add_signal_handler(number, once)
    return stop
