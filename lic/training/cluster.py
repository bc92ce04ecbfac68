"""The machines that train together, as TensorFlow's environment variable TF_CONFIG names them."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from lic.errors import UsageError

VARIABLE = "TF_CONFIG"
_TYPES = ("chief", "worker")   # in the order in which TensorFlow counts them


class Cluster(NamedTuple):
    """The machines' addresses HOST:PORT, the first of which leads, and which of them this one is."""

    addresses: tuple[str, ...]
    number: int

    @property
    def port(self) -> int:
        """On which this machine listens."""
        return int(self.addresses[self.number].rpartition(":")[2])


def from_environment() -> Cluster | None:
    """The cluster that TF_CONFIG names; None where there is none, or where it is one machine alone.

    Raises:
      UsageError: TF_CONFIG is no description of a cluster, or this machine is not in it.
    """
    config = _parsed(os.environ.get(VARIABLE) or "{}")
    if "cluster" not in config:
        return None
    jobs = _jobs(config["cluster"])
    addresses = [address for kind in _TYPES for address in jobs.get(kind, [])]
    for address in addresses:
        _check_address(address)
    if len(set(addresses)) < len(addresses):
        raise UsageError(f"{VARIABLE} names an address twice: {', '.join(addresses)}")
    kind, index = _task(config.get("task"), jobs)
    place = index if kind == _TYPES[0] else index + len(jobs.get(_TYPES[0], []))
    return Cluster(tuple(addresses), place) if len(addresses) > 1 else None


def _parsed(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{VARIABLE} is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise UsageError(f"{VARIABLE} is no JSON object with 'cluster' and 'task'")
    return config


def _jobs(jobs) -> dict[str, list]:
    if not isinstance(jobs, dict) or not all(isinstance(addresses, list) for addresses in jobs.values()):
        raise UsageError(f"{VARIABLE}: 'cluster' is not of the form {{\"worker\": [\"HOST:PORT\", ...]}}")
    for kind in jobs:
        if kind not in _TYPES:
            raise UsageError(f"{VARIABLE}: a cluster that trains has machines of the types {' and '.join(_TYPES)}, "
                             f"none of the type '{kind}'")
    if len(jobs.get(_TYPES[0], [])) > 1:
        raise UsageError(f"{VARIABLE}: there is more than one chief")
    return jobs


def _check_address(address) -> None:
    host, _, port = str(address).rpartition(":")
    if not (isinstance(address, str) and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"{VARIABLE}: '{address}' is no HOST:PORT with a port within 1..65535")


def _task(task, jobs: dict[str, list]) -> tuple[str, int]:
    """Type and number of this machine."""
    try:
        kind, index = str(task["type"]), int(task["index"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{VARIABLE}: 'task' is not of the form {{\"type\": \"worker\", \"index\": 0}}") from None
    if not jobs.get(kind):
        raise UsageError(f"{VARIABLE}: this machine's type '{kind}' is not in the cluster, which has "
                         f"{' and '.join(filter(jobs.get, jobs)) or 'no machine'}")
    if not 0 <= index < len(jobs[kind]):
        raise UsageError(f"{VARIABLE}: this machine is number {index} of type '{kind}', of which there are "
                         f"{len(jobs[kind])}, counted from 0")
    return kind, index
