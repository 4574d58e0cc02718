"""What a verb of the worker has answered, or why it has not."""

from __future__ import annotations

import json
import signal
from typing import Any

from quern.errors import DriverError


def answer_of(verb: str, status: int, output: bytes, noise: bytes) -> dict[str, Any]:
    """The worker's answer; an `error` in it is for the user, anything unreadable is a defect of ours."""
    try:
        answer = json.loads(output)
    except ValueError:
        if status < 0 or status > 128:
            number = -status if status < 0 else status - 128
            raise DriverError(f"worker {verb}: ended by {_signal_name(number)}, which is not ours") from None
        raise RuntimeError(f"worker {verb}: exit {status}\n{noise.decode(errors='replace')}") from None
    if not isinstance(answer, dict):
        raise RuntimeError(f"worker {verb}: {output[:200]!r} is not an object")
    if "error" in answer:
        raise DriverError(answer["error"])
    return answer


def streamed_answer_of(verb: str, status: int, noise: bytes) -> dict[str, Any]:
    """The answer of a verb that writes bytes: the last line of its standard error. Raises as `answer_of`."""
    return answer_of(verb, status, noise.rstrip().rpartition(b"\n")[2], noise)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
