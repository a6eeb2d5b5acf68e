"""What every measurement is given: the model, the cores, the peers and how long to take."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.peers import OURS, Peer, read
from benchmarks.server import Server, serving
from models.bundle import Bundle


@dataclass
class Bench:
    """One run. Servers get the first of ``cores``, load generators the last; times are in seconds.

    ``failures`` says, by title, why a peer or a measurement was given up.
    """

    bundle: Bundle
    cores: tuple[int, ...]
    peers: tuple[Peer, ...]
    rounds: int
    seconds: float
    open_seconds: float
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def load_core(self) -> int:
        return self.cores[-1]

    def turns(self) -> Iterator[Peer]:
        """Every peer in turn, round after round, so that a disturbance meets all alike; none that was given up."""
        for _ in range(self.rounds):
            yield from (peer for peer in self.peers if peer.title not in self.failures)

    def serving(self, peer: Peer) -> AbstractContextManager[Server]:
        """A server of this peer with one worker on one core."""
        return serving(peer, self.bundle, self.cores[:1])

    def ours(self, workers: int = 1, cores: int = 1) -> AbstractContextManager[Server]:
        """Our server on the first ``cores`` cores; where there are only two, the second is the load generator's too."""
        return serving(read(OURS), self.bundle, self.cores[:cores], workers)

    def row(self, peer: Peer) -> bytes:
        """One row, as this peer wants to be asked."""
        return peer.question(self.bundle.manifest, self.bundle.manifest.golden[0].features)

    def usual(self, count: int) -> list[list[float]]:
        """So many usual rows: numbers in the schema's order, to four digits.

        Not the golden ones, of which half are corners of the schema and answered with a warning for every feature.
        """
        rows = [[float(f"{value:.4g}") for value in row] for row in self.bundle.manifest.background]
        return [rows[number % len(rows)] for number in range(count)]

    def batch(self, rows: int) -> bytes:
        """Many usual rows as ours takes them."""
        return json.dumps({"instances": self.usual(rows)}).encode()
