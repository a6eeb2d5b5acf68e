"""The parameters of one run, which every measurement receives: the model, the cores, the peers and the durations."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import exchanges, process_tree
from benchmarks.exchanges import Exchange
from benchmarks.peers import OURS, ROOT, Peer, read_peer
from benchmarks.server import Server, start_server
from models import bundle
from models.bundle import Bundle
from service.score.model_loader import find_bundle
from service.settings import Settings


@dataclass
class BenchmarkRun:
    """Servers get the first of ``cores``, load generators the last; durations are in seconds.

    ``failures`` maps the title of a peer or measurement that was given up to the reason.
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

    def each_round(self) -> Iterator[Peer]:
        """Every peer that was not given up, round after round, so that a disturbance affects all alike."""
        for _ in range(self.rounds):
            yield from (peer for peer in self.peers if peer.title not in self.failures)

    def start_peer(self, peer: Peer) -> AbstractContextManager[Server]:
        """A server of this peer with one worker on one core."""
        return start_server(peer, self.bundle, self.cores[:1])

    def start_ours(self, workers: int = 1, cores: int = 1) -> AbstractContextManager[Server]:
        """The service on the first ``cores`` cores.

        Where there are only two cores, the second is the load generator's too.
        """
        return start_server(read_peer(OURS), self.bundle, self.cores[:cores], workers)

    @contextmanager
    def start_for(self, chosen: Iterable[Exchange], root: Path = ROOT) -> Iterator[Mapping[bool, int]]:
        """The services from the checkout at ``root`` that these exchanges need: the ports by ``Exchange.keyed``."""
        ours = read_peer(OURS)
        with_keys = {**ours.environment, "MENAGERIE_API_KEYS": exchanges.KEY_HASH}
        peers = {False: ours, True: replace(ours, environment=with_keys, headers=exchanges.AUTHORIZATION)}
        with ExitStack() as stack:
            started = {
                keyed: stack.enter_context(start_server(peers[keyed], self.bundle, self.cores[:1], root=root))
                for keyed in sorted({exchange.keyed for exchange in chosen})
            }
            yield {keyed: server.port for keyed, server in started.items()}

    def single_row(self, peer: Peer) -> Exchange:
        """The request for a typical row in the format of this peer."""
        return peer.exchange(self.bundle.manifest, exchanges.typical_rows(self.bundle.manifest, 1)[0])


def prepare_run(peers: Sequence[Peer], rounds: int, seconds: float, open_seconds: float = 0) -> BenchmarkRun:
    """A run on the cores of this process.

    Raises:
        SystemExit: the machine or the bundle does not allow a measurement; the message says why.
    """
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if len(cores) == 1:
        sys.exit("two processor cores are needed: one for the server, one for the load generator")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that `finally` ends the servers
    try:
        process_tree.adopt_orphans()
        settings = Settings.load()
        served = Bundle.read(find_bundle(settings).resolve())
    except (process_tree.SubreaperError, bundle.BundleError) as error:
        sys.exit(f"benchmarks: {error}")
    return BenchmarkRun(served, cores, tuple(peers), rounds, seconds, open_seconds)
