"""Whether a server's settings can be meant, and whether what it needs is installed; told before TensorFlow comes up."""

from __future__ import annotations

import importlib.util
import math

import config
from lic import ports
from lic.errors import UsageError

_PACKAGES = ("aiohttp", "grpc", "grpc_health", "prometheus_client", "tensorflow_serving")


def check(settings: config.Serving) -> None:
    """Raises UsageError where a setting is out of its range."""
    for name in ("workers", "timeout", "max_request", "max_megapixels", "poll"):
        if not 0 < getattr(settings, name) < math.inf:
            raise UsageError(f"--{name} has to be more than 0")
    for name in ("queue", "grace", "grpc_port", "rest_port"):
        if not 0 <= getattr(settings, name) < math.inf:
            raise UsageError(f"--{name} has to be 0 or more")


def demand_ports(settings: config.Serving) -> None:
    """Raises UsageError where an address can't be listened on, before a model is loaded."""
    if settings.grpc_port == settings.rest_port != 0:
        raise UsageError(f"--grpc_port and --rest_port are both {settings.rest_port}: give two")
    ports.demand(settings.host, settings.grpc_port, "--grpc_port or --host")
    ports.demand(settings.host, settings.rest_port, "--rest_port or --host")


def require_packages() -> None:
    """Raises UsageError where a package of the optional extra is missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"serving needs {', '.join(missing)}, which is missing: pip install '.[serve]'")
