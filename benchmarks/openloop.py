"""An open-loop load: requests leave on a schedule, whether or not the answers to earlier ones have come.

Latency counts from the moment a request was due, not from when its connection was free to send it, so a server that
stalls is charged for everyone who would have waited (coordinated omission; Gil Tene, "How NOT to Measure Latency").
Run as a program of its own, so that nothing else shares its interpreter lock: figures go to stdout as JSON.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

GIVE_UP = 5.0  # seconds behind schedule: the server cannot hold this rate, and more load would teach nothing


@dataclass
class Caller:
    """One keep-alive connection with a schedule of its own, in seconds of `time.perf_counter`."""

    port: int
    path: str
    body: bytes
    due: Sequence[float]
    latencies: list[float] = field(default_factory=list)
    failures: int = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * GIVE_UP)
        for due in self.due:
            now = time.perf_counter()
            if now - due > GIVE_UP:
                return
            time.sleep(max(0.0, due - now))
            try:
                connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                self.failures += response.status != http.client.OK
            except (OSError, http.client.HTTPException):
                self.failures += 1
                connection.close()  # the next request opens it again
            self.latencies.append(time.perf_counter() - due)


def schedules(start: float, rate: float, seconds: float, connections: int) -> list[list[float]]:
    """When each connection's requests are due: ``rate`` a second in all, evenly spaced, dealt out in turn."""
    due = [start + number / rate for number in range(round(rate * seconds))]
    return [due[first::connections] for first in range(connections)]


def summarize(callers: Sequence[Caller]) -> dict[str, float]:
    """Latencies in milliseconds; a request that was never sent counts as one that waited at least `GIVE_UP`."""
    planned = sum(len(caller.due) for caller in callers)
    answered = [latency for caller in callers for latency in caller.latencies]
    waited = np.array(answered + [GIVE_UP] * (planned - len(answered))) * 1e3
    p50, p99, p999 = np.percentile(waited, (50, 99, 99.9)).tolist()
    return {
        "planned": planned,
        "unsent": planned - len(answered),
        "failures": sum(caller.failures for caller in callers),
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "max_ms": waited.max().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="POST the body from stdin at a steady rate")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    options = parser.parse_args()
    body = sys.stdin.buffer.read()

    start = time.perf_counter() + 0.1
    plan = schedules(start, options.rate, options.seconds, options.connections)
    callers = [Caller(options.port, options.path, body, due) for due in plan]
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump(summarize(callers), sys.stdout)


if __name__ == "__main__":
    main()
