"""Fifty models of different shapes, with two versions each, are served by two workers."""

import json
import math
import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from support import handmade_bundles, headed_bundles, mixed_bundles
from support.gunicorn_server import Server, await_workers, serving, workers
from support.handmade_bundles import Network
from support.named_bundles import copy_bundle

from models.bundle import Bundle
from service.inference.model import Model
from service.protocols.native_documents import NativeDocuments

MODELS = 50
WORKERS = 2
MEGABYTES_PER_MODEL = 2  # in each worker
NAMES = {"all": [f"m{number:02}" for number in range(MODELS)], "one": ["m00"]}


class Served(NamedTuple):
    """A service, with the bundles of its models by name."""

    server: Server
    bundles: dict[str, Bundle]


def publish_shapes(folder: Path) -> list[Bundle]:
    """Bundles of the formats 1, 2 and 3, narrow and wide, with every kind of output."""
    widths = [(3, 4, 2), (8, 6, 6, 5), (40, 16, 30)]
    handmade = [
        handmade_bundles.publish(folder / f"widths{len(each)}-{each[0]}", Network.random(each)) for each in widths
    ]
    headed = [headed_bundles.publish(folder / name, heads) for name, heads in headed_bundles.HEADS.items()]
    without_sample = headed_bundles.publish(folder / "no-sample", headed_bundles.REGRESSION, sample=False)
    return [*handmade, *headed, without_sample, mixed_bundles.publish(folder)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The newer version of each model, by name, in a store."""
    folder = tmp_path_factory.mktemp("many")
    shapes = publish_shapes(folder / "shapes")
    newer = {}
    for number, name in enumerate(NAMES["all"]):
        shape = shapes[number % len(shapes)].folder
        copy_bundle(shape, folder / "store", name)
        newer[name] = Bundle.read(copy_bundle(shape, folder / "store", name, version=2))
    return newer


@contextmanager
def serving_models(bundles: dict[str, Bundle], names: str) -> Iterator[Server]:
    store = next(iter(bundles.values())).folder.parent.parent
    with serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODELS=names, WEB_CONCURRENCY=str(WORKERS)) as server:
        yield server


@pytest.fixture(scope="module")
def served(bundles: dict[str, Bundle]) -> Iterator[Served]:
    with serving_models(bundles, "*") as server:
        yield Served(server, bundles)


def worker_memory(server: Server) -> float:
    """Of the worker that has most, in 10^6 bytes, without libraries: pages of several processes count in part."""
    await_workers(server, lambda pids: len(pids) == WORKERS)
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in workers(server)]
    sizes = [re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB", each, re.MULTILINE) for each in rollups]
    return max(sum(map(int, each)) for each in sizes) / 1e3


def cpu_seconds() -> float:
    """Of all processes that this one has started and awaited."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def post(session: requests.Session, url: str, document: Any) -> Any:
    response = session.post(url, json=document, timeout=30)
    assert response.status_code == 200, (url, response.text)
    return response.json()


def infer_inputs(metadata: Any, row: tuple[Any, ...]) -> list[dict[str, Any]]:
    """A row as the tensors that a model takes under /v2."""
    values = iter(row)
    return [
        {
            "name": tensor["name"],
            "shape": [1, *tensor["shape"][1:]],
            "datatype": tensor["datatype"],
            "data": [next(values) for _ in range(math.prod(tensor["shape"][1:]))],
        }
        for tensor in metadata["inputs"]
    ]


def test_every_model_answers_by_its_name(served: Served) -> None:
    """In each protocol, as its network computes; both of its versions."""
    url = served.server.url
    with requests.Session() as session:
        for name, bundle in served.bundles.items():
            model = Model.open(bundle.folder, "litert")
            row = bundle.manifest.golden[0].features
            expected = NativeDocuments(model).row(model.predict(bundle.manifest.golden_rows[:1]))
            native = post(session, f"{url}/models/{name}/predict", {"features": row})
            assert native == json.loads(expected)
            assert native["model"] == {"name": name, "version": "2"}
            batch = post(session, f"{url}/models/{name}/predict", {"instances": [row] * 3})
            assert len(batch["predictions"]) == 3
            tfserving = f"{url}/v1/models/{name}"
            (prediction,) = post(session, f"{tfserving}:predict", {"instances": [row]})["predictions"]
            assert post(session, f"{tfserving}/versions/1:predict", {"instances": [row]})["predictions"] == [prediction]
            oip = f"{url}/v2/models/{name}"
            inputs = infer_inputs(session.get(oip, timeout=30).json(), row)
            answer = post(session, f"{oip}/infer", {"inputs": inputs})
            assert (answer["model_name"], answer["model_version"]) == (name, "2")


def test_all_models_are_listed_and_ready(served: Served) -> None:
    """By name, each with its versions."""
    url = served.server.url
    models = requests.get(f"{url}/models", timeout=30).json()["models"]
    assert [(each["name"], each["serving"], each["versions"]) for each in models] == [
        (name, 2, [1, 2]) for name in served.bundles
    ]
    assert requests.get(f"{url}/readyz", timeout=30).status_code == 200
    for name in served.bundles:
        assert requests.get(f"{url}/v2/models/{name}/ready", timeout=30).status_code == 200


def test_metrics_have_every_model(served: Served) -> None:
    """Each has a label for its name."""
    metrics = requests.get(f"{served.server.url}/metrics", timeout=30).text
    assert {name for name in served.bundles if f'"{name}"' in metrics} == set(served.bundles)


def test_a_further_model_takes_little(bundles: dict[str, Bundle], served: Served) -> None:
    """Memory of a worker, once every model has run batches too; the times of the starts, which vary, are printed."""
    starts = {}
    for names in ("one", "all"):
        cpu, began = cpu_seconds(), time.monotonic()
        with serving_models(bundles, ",".join(NAMES[names])) as server:
            seconds = time.monotonic() - began
            memory = worker_memory(server)
        starts[names] = (seconds, cpu_seconds() - cpu, memory)
        print(f"{names}: ready after {seconds:.2f} s, {starts[names][1]:.2f} s of CPU, a worker has {memory:.1f} MB")  # noqa: T201
    for name, bundle in served.bundles.items():
        row = bundle.manifest.golden[0].features
        for document in ({"features": row}, {"instances": [row] * 100}) * 3:  # so that both workers answer
            post(requests.Session(), f"{served.server.url}/models/{name}/predict", document)
    further = MODELS - 1
    megabytes = (worker_memory(served.server) - starts["one"][2]) / further
    seconds, cpu = ((many - one) / further for one, many in zip(starts["one"][:2], starts["all"][:2], strict=True))
    print(f"a further model: {1e3 * seconds:.0f} ms, {1e3 * cpu:.0f} ms of CPU, {megabytes:.2f} MB in a worker")  # noqa: T201
    assert megabytes < MEGABYTES_PER_MODEL
