"""What every measurement is given: the model, the cores, the peers and how long to take."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import tree
from benchmarks.peers import OURS, ROOT, Peer, read
from benchmarks.server import Server, serving
from models import bundle
from models.bundle import Bundle
from service.settings import Settings


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

    def ours(self, workers: int = 1, cores: int = 1, root: Path = ROOT) -> AbstractContextManager[Server]:
        """Our server, from the checkout at ``root``, on the first ``cores`` cores.

        Where there are only two cores, the second is the load generator's too.
        """
        return serving(read(OURS), self.bundle, self.cores[:cores], workers, root)

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


def prepare(peers: Sequence[Peer], rounds: int, seconds: float, open_seconds: float = 0) -> Bench:
    """A run on this process's cores; ends the process with a message where none is possible."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if len(cores) == 1:
        sys.exit("two processor cores are needed: one for the server, one for the load generator")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that `finally` ends the servers
    try:
        tree.adopt_orphans()
        settings = Settings.load()
        shipped = Bundle.read(bundle.find_newest_version(settings.model_store.resolve(), settings.model_name))
    except (tree.NoSubreaperError, bundle.BundleError) as error:
        sys.exit(f"benchmarks: {error}")
    return Bench(shipped, cores, tuple(peers), rounds, seconds, open_seconds)
