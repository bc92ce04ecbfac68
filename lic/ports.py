"""Whether a port can be listened on, asked before something long begins that would listen there."""

from __future__ import annotations

import socket

from lic.errors import UsageError


def demand(host: str, port: int, flags: str) -> None:
    """Tries a port; 0 is any that is free.

    Args:
      flags: what would help, for whoever reads the error.
    Raises:
      UsageError: it is taken or not allowed, or the host is no address of this machine.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        raise refusal(host, port, error, flags) from None


def refusal(host: str, port: int, error: OSError | OverflowError, flags: str) -> UsageError:
    """What is told of a port that can't be listened on."""
    return UsageError(f"can't listen on {host}:{port}: {_reason(error)}; give another {flags}")


def _reason(error: OSError | OverflowError) -> str:
    """The system's own words, or those for a name that is no host's; Python puts the address behind them."""
    if isinstance(error, OverflowError):
        return "ports are numbers from 0 to 65535"
    return (error.strerror or str(error)).partition(" (while")[0]
