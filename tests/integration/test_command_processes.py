"""`menagerie` in processes of its own: what it asks a service or a bundle, and which version it lets serve."""

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests
from support import mixed_bundles
from support.gunicorn_server import (
    ROOT,
    Server,
    await_workers,
    free_port,
    serving,
    serving_by,
)
from support.handmade_bundles import Network, publish
from support.known_animals import GREAT_DANE, KNOWN, NAMES, named
from support.menagerie_command import refusal, run_command
from support.named_bundles import publish_named

from models.bundle import CURRENT, MODEL_LITERT, SHADOW

DANE = [f"{name}={value}" for name, value in named(GREAT_DANE).items()]
HEAVY = ("ai_edge_litert", "flask", "gunicorn", "numpy", "orjson", "pyarrow", "pydantic", "rich", "tensorflow")


def modules_of(*arguments: str | Path) -> list[str]:
    """The modules that a run of the command imports."""
    program = (
        "import json, sys; from menagerie.command import cli; "
        "cli(sys.argv[1:], 'menagerie', standalone_mode=False); print(); print(json.dumps([*sys.modules]))"
    )
    completed = run_command(*arguments, program=(sys.executable, "-c", program))
    assert completed.returncode == 0, completed.stderr
    return [str(name) for name in json.loads(completed.stdout.splitlines()[-1])]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["bundle", "list", "--help"], ["predict", "--help"]]
)
def test_help_imports_no_library_but_click(arguments: list[str]) -> None:
    """So that it appears at once."""
    program = f"""
import json, sys
from menagerie.command import cli
try:
    cli({arguments})
finally:
    print(json.dumps([*sys.modules]))
"""
    completed = run_command(program=(sys.executable, "-c", program))
    modules = json.loads(completed.stdout.splitlines()[-1])
    assert "click" in modules
    assert [name for name in modules if name.startswith((*HEAVY, "models", "service.http", "service.app"))] == []


def test_no_command_but_training_and_adoption_imports_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(",".join(NAMES) + "\n" + ",".join(map(str, GREAT_DANE)) + "\n")
    commands: list[list[str | Path]] = [
        ["predict", *DANE],
        ["explain", *DANE],
        ["openapi"],
        ["keys"],
        ["bundle", "list"],
        ["bundle", "verify"],
        ["score", tmp_path / "rows.csv", tmp_path / "scored.csv"],
    ]
    for command in commands:
        assert [name for name in modules_of(*command) if name.startswith(("tensorflow", "keras"))] == [], command


@pytest.mark.parametrize(
    ("command", "word"), [("predict", "pairs"), ("predict", "object"), ("predict", "list"), ("explain", "pairs")]
)
def test_answer_is_that_of_the_service_with_a_service_and_without(server: Server, command: str, word: str) -> None:
    """The document of /predict and /explain, number by number."""
    words = {"pairs": DANE, "object": [json.dumps(named(GREAT_DANE))], "list": [json.dumps(GREAT_DANE)]}[word]
    expected = requests.post(f"{server.url}/{command}", json={"features": GREAT_DANE}, timeout=30).json()
    for target in ([], ["--url", server.url], ["--url", f"{server.url}/"]):
        completed = run_command(command, *words, *target)
        assert completed.returncode == 0, completed.stderr
        assert json.loads(completed.stdout) == expected


def test_openapi_document_is_that_of_the_service(server: Server) -> None:
    expected = requests.get(f"{server.url}/openapi.json", timeout=30).json()
    assert json.loads(run_command("openapi").stdout) == expected
    assert json.loads(run_command("openapi", "--url", server.url).stdout) == expected


def test_name_with_a_url_is_that_of_a_model_of_the_service(tmp_path: Path) -> None:
    """Which `serve --models` serves; the other settings of the environment give way."""
    for name, widths in {"cats": (3, 4, 2), "dogs": (2, 4, 3)}.items():
        publish_named(tmp_path, name, widths)
    port = free_port()
    command = [sys.executable, "-m", "menagerie", "serve", "--models", "*", "--name", "cats", "--store", str(tmp_path)]
    settings = {"MENAGERIE_MODELS": "nothing", "MENAGERIE_MODEL_DIR": "nowhere", "WEB_CONCURRENCY": "1"}
    with serving_by([*command, "--host", "127.0.0.1", "--port", str(port)], port, settings) as server:
        for name, row in {"cats": "[0, 1, 2]", "dogs": "[0, 1]"}.items():
            target = ["--url", server.url, "--name", name]
            for word in ("predict", "explain"):
                completed = run_command(word, row, *target)
                assert f'"name": "{name}"' in completed.stdout, completed.stderr
            document = requests.get(f"{server.url}/models/{name}/openapi.json", timeout=30).json()
            assert json.loads(run_command("openapi", *target).stdout) == document
        unknown = refusal(run_command("predict", "[0]", "--url", server.url, "--name", "owls"))
        assert "model not found: this service serves cats, dogs" in unknown


def test_csv_gives_a_line_of_json_for_each_row(server: Server, tmp_path: Path) -> None:
    """Also more rows than one request has, from a file or standard input."""
    animals = list(KNOWN.values()) * 300
    lines = [",".join((*NAMES, "note")), *(",".join(map(str, (*animal, "x"))) for animal in animals)]
    (tmp_path / "rows.csv").write_text("\ufeff" + "\n".join(lines) + "\n")
    outputs = [
        run_command("predict", "--csv", tmp_path / "rows.csv"),
        run_command("predict", "--csv", "-", "--url", server.url, standard_input="\n".join(lines)),
    ]
    for completed in outputs:
        assert completed.returncode == 0, completed.stderr
        predictions = [json.loads(line) for line in completed.stdout.splitlines()]
        assert [each["label"] for each in predictions] == [*KNOWN] * 300
    assert outputs[0].stdout == outputs[1].stdout


def test_features_of_every_kind_are_read_as_their_kind(tmp_path: Path) -> None:
    """Text, whole numbers, truth values, missing values and defaults, as pairs and in a table."""
    mixed_bundles.publish(tmp_path)
    names = [feature.name for feature in mixed_bundles.FEATURES]
    rows = mixed_bundles.raw_rows(8)
    with serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="mixed") as server:
        instances = [dict(zip(names, row, strict=True)) for row in rows]
        response = requests.post(f"{server.url}/predict", json={"instances": instances}, timeout=30).json()
    texts = [["" if value is None else str(value).replace('"', '""') for value in row] for row in rows]
    table = "\n".join([",".join(names), *(",".join(f'"{text}"' for text in row) for row in texts)])
    completed = run_command(
        "predict", "--csv", "-", "--store", tmp_path, "--name", "mixed", standard_input=table, cwd=ROOT
    )
    assert completed.returncode == 0, completed.stderr
    assert [json.loads(line) for line in completed.stdout.splitlines()] == response["predictions"]
    pairs = [f"{name}={'' if value is None else value}" for name, value in instances[0].items()]
    one = json.loads(run_command("predict", *pairs, "--model-dir", tmp_path / "mixed").stdout)
    assert one == {**response["predictions"][0], "model": response["model"]}


@pytest.mark.parametrize("target", ["service", "bundle"])
@pytest.mark.parametrize(
    ("arguments", "table", "reasons"),
    [
        (["predict", *DANE, "tail=3"], "", ["tail is unknown: did you mean tail_length_cm?"]),
        (["predict", *DANE[:-1], "body_temperature_c=hot"], "", ["must be a number from 5 to 45 °C, not a string"]),
        (["predict", "body_mass_kg="], "", ["body_mass_kg must be a number", "not null", "ear_length_cm is missing"]),
        (["explain", *DANE[:-1], "body_temperature_c=101"], "", ["body_temperature_c must be in the range 5 to 45 °C"]),
        (["explain", "{}"], "", ["body_mass_kg is missing"]),
        (
            ["predict", "--csv", "-"],
            f"{','.join(NAMES)}\n{','.join(map(str, GREAT_DANE))}\n\n{'9' * 9}{',1' * 7}\n",
            ["line 4: body_mass_kg must be in the range"],
        ),
        (["predict", "--csv", "-"], "a,b\n1,2\n", ["line 2: body_mass_kg is missing"]),
    ],
)
def test_invalid_row_ends_with_2_and_every_fault(
    server: Server, target: str, arguments: list[str], table: str, reasons: list[str]
) -> None:
    """In the service's own words; of a table, with the line."""
    arguments = [*arguments, *(["--url", server.url] if target == "service" else [])]
    completed = run_command(*arguments, standard_input=table)
    assert completed.stdout == ""
    message = refusal(completed)
    assert [reason for reason in reasons if reason not in message] == []
    assert message.startswith("Error: ")


def test_api_key_comes_from_the_option_a_file_or_standard_input(tmp_path: Path) -> None:
    made = run_command("keys").stdout
    match = re.fullmatch(r"key:  (\S+)\nhash: (\S+)\n", made)
    assert match
    key, key_hash = match.groups()
    assert sha256(key.encode()).hexdigest() == key_hash
    (tmp_path / "key").write_text(f"{key}\n")
    with serving(MENAGERIE_API_KEYS=key_hash) as server:
        for given in (key, f"@{tmp_path / 'key'}", "@-"):
            completed = run_command(
                "predict", *DANE, "--url", server.url, "--api-key", given, standard_input=f"{key}\n"
            )
            assert json.loads(completed.stdout)["label"] == "dog"
        assert "Error: send an API key as" in refusal(run_command("predict", *DANE, "--url", server.url))
        wrong = run_command("openapi", "--url", server.url, "--api-key", "wrong")
        assert "the API key is not valid for this service" in refusal(wrong)
    # In a bundle there is nothing to keep others from.
    assert run_command("predict", *DANE, settings={"MENAGERIE_API_KEYS": key_hash}).returncode == 0


def test_url_that_is_no_service_is_a_sentence(server: Server) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "http://127.0.0.1:1:2", "http://a b", f"http://{'x' * 80}"):
        assert f"cannot reach {url} (" in refusal(run_command("predict", *DANE, "--url", url))
    elsewhere = run_command("predict", *DANE, "--url", f"{server.url}/elsewhere")
    assert "unknown path" in refusal(elsewhere)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "lists no features"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>", "has status 200 and is not one of this service's"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n<p>", "has status 404 and is not one of this service's"),
        (b"SSH-2.0-OpenSSH\r\n", "cannot reach"),
        (b"", "cannot reach"),
    ],
)
def test_other_servers_are_told_from_this_service(response: bytes, reason: str) -> None:
    """Web servers, and servers that speak no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(response)

        thread = threading.Thread(target=respond)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert reason in refusal(run_command("explain", *DANE, "--url", url))
        thread.join()


def test_key_stays_with_its_host() -> None:
    """A redirect to another one is followed without it."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            for status in (f"302 Found\r\nLocation: http://localhost:{port}/moved", "404 Not Found"):
                connection, _ = listener.accept()
                with connection:
                    heads.append(connection.recv(10_000).lower())
                    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

        port = listener.getsockname()[1]
        thread = threading.Thread(target=respond)
        thread.start()
        refusal(run_command("openapi", "--url", f"http://127.0.0.1:{port}", "--api-key", "secret"))
        thread.join()
    assert [b"secret" in head for head in heads] == [True, False]
    assert heads[1].startswith(b"get /moved ")


def test_model_that_cannot_be_loaded_is_a_sentence(store: Path, tmp_path: Path) -> None:
    """As the service and table scoring have it; also for a setting that does not exist."""
    (store / "animals" / "1" / MODEL_LITERT).write_bytes(b"nonsense")
    for command in (["predict", *DANE], ["explain", *DANE], ["openapi"]):
        assert "does not match manifest.json" in refusal(run_command(*command, "--store", store))
        assert "no model in" in refusal(run_command(*command, "--store", tmp_path / "nowhere"))
        assert "no model in" in refusal(run_command(*command, "--model-dir", tmp_path / "nowhere"))
        assert "MENAGERIE_MODEL_STOER is not a setting" in refusal(
            run_command(*command, settings={"MENAGERIE_MODEL_STOER": "x"})
        )


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A store with three versions of a model, each another network."""
    for seed in (1, 2, 3):
        publish(tmp_path / "store", Network.random((3, 4, 2), seed=seed))
    return tmp_path / "store"


def bundle(store: Path, *arguments: str, pinned: str = "") -> subprocess.CompletedProcess[str]:
    options = ("--store", store, "--name", "handmade")
    return run_command("bundle", *arguments, *options, settings={"MENAGERIE_MODEL_VERSION": pinned})


def serving_line(store: Path, pinned: str = "") -> str:
    """The line of ``bundle list`` about the version that serves, without its date."""
    lines = [line for line in bundle(store, "list", pinned=pinned).stdout.splitlines() if "serves" in line]
    assert len(lines) == 1
    return re.sub(r" trained.*,", "", lines[0]).strip()


def test_promote_and_rollback_choose_the_version(versions: Path) -> None:
    """They write CURRENT once the version is verified."""
    current = versions / "handmade" / CURRENT
    assert serving_line(versions) == "3  serves (newest)"
    rolled_back = bundle(versions, "rollback")
    assert (rolled_back.returncode, rolled_back.stdout) == (0, "handmade 2 is the version to serve\n")
    assert serving_line(versions) == "2  serves (CURRENT)"
    assert bundle(versions, "rollback").stdout == "handmade 1 is the version to serve\n"
    assert "there is no version before 1" in refusal(bundle(versions, "rollback"))
    assert current.read_text() == "1\n"
    assert bundle(versions, "promote", "3").stdout == "handmade 3 is the version to serve\n"
    assert serving_line(versions) == "3  serves (CURRENT)"
    assert "there is no version 7: there are 1, 2, 3" in refusal(bundle(versions, "promote", "7"))
    assert current.read_text() == "3\n"


def test_running_service_follows_promotion_and_rollback(versions: Path) -> None:
    def await_version(number: str) -> None:
        deadline = time.monotonic() + 60
        while (served := requests.get(f"{server.url}/health", timeout=30).json()["model"]["version"]) != number:
            assert time.monotonic() < deadline, served
            time.sleep(0.05)

    settings = {"MENAGERIE_MODEL_STORE": str(versions), "MENAGERIE_MODEL_NAME": "handmade"}
    with serving(**settings, MENAGERIE_POLL_SECONDS="0.1", WEB_CONCURRENCY="1") as server:
        await_version("3")
        assert bundle(versions, "rollback").returncode == 0
        await_version("2")
        assert bundle(versions, "promote", "1").returncode == 0
        await_version("1")


def test_shadow_is_named_and_stopped(versions: Path) -> None:
    """The version must be one that can be compared, or one that is yet to come; promoting it ends the comparison."""
    shadow = versions / "handmade" / SHADOW
    named = bundle(versions, "shadow", "3")
    assert (named.returncode, named.stdout) == (0, "handmade 3 is compared with 2, which serves\n")
    assert shadow.read_text() == "3\n"
    lines = bundle(versions, "list").stdout.splitlines()
    assert [line.rpartition(", ")[2] for line in lines[2:]] == ["serves (newest)", "shadow"]
    assert bundle(versions, "shadow", "--stop").stdout == "handmade has no shadow; 3 is the version to serve\n"
    assert not shadow.exists()
    assert bundle(versions, "shadow", "--stop").returncode == 0
    future = bundle(versions, "shadow", "4").stdout
    assert future == "handmade 4, once it exists, is compared with 3, which serves\n"
    assert bundle(versions, "list").stdout.splitlines()[-1].strip() == "4  missing (shadow)"
    assert bundle(versions, "promote", "2").returncode == 0
    assert shadow.read_text() == "4\n"
    assert bundle(versions, "shadow", "3").returncode == 0
    assert bundle(versions, "promote", "3").stdout == "handmade 3 is the version to serve\n"
    assert not shadow.exists()


def test_version_that_cannot_be_compared_is_no_shadow(versions: Path) -> None:
    """A damaged one, one with other features, and the one that serves."""
    (versions / "handmade" / "1" / MODEL_LITERT).write_bytes(b"nonsense")
    assert "does not match manifest.json" in refusal(bundle(versions, "shadow", "1"))
    publish(versions, Network.random((4, 4, 2)))
    assert "other features" in refusal(bundle(versions, "shadow", "4"))
    assert "version 2 serves" in refusal(bundle(versions, "shadow", "2", pinned="2"))
    for arguments in ([], ["2", "--stop"]):
        assert "either the number of a version or --stop" in refusal(bundle(versions, "shadow", *arguments))
    one = run_command("bundle", "shadow", "3", "--model-dir", versions / "handmade" / "3")
    assert "is one bundle" in refusal(one)
    for number in (1, 2, 4):
        shutil.rmtree(versions / "handmade" / str(number))
    assert "version 3 is the only one" in refusal(bundle(versions, "shadow", "3"))
    assert not (versions / "handmade" / SHADOW).exists()
    (versions / "handmade" / SHADOW).write_text("three")
    assert "no shadow: " in bundle(versions, "list").stdout
    (versions / "handmade" / SHADOW).write_text("3")
    assert "names the only version" in refusal(bundle(versions, "list"))


def test_version_that_cannot_be_served_is_not_promoted(versions: Path) -> None:
    """CURRENT stays as it is, for a damaged version as for one whose network gives other numbers than it should."""
    shutil.copy(versions / "handmade" / "3" / "weights.json", versions / "handmade" / "2" / "weights.json")
    (versions / "handmade" / "1" / MODEL_LITERT).write_bytes(b"nonsense")
    for command in (["promote", "1"], ["promote", "2"], ["rollback"]):
        assert "does not match manifest.json" in refusal(bundle(versions, *command))
    assert not (versions / "handmade" / CURRENT).exists()


def test_verify_checks_what_the_service_checks(versions: Path) -> None:
    """Each version gets a line; the exit code is 2 if any cannot be served."""
    good = bundle(versions, "verify")
    assert (good.returncode, good.stdout) == (0, "".join(f"version {n} can be served\n" for n in (1, 2, 3)))
    manifest = versions / "handmade" / "2" / "manifest.json"
    document: dict[str, Any] = json.loads(manifest.read_text())
    document["golden"][0]["features"][0] += 0.1
    manifest.write_text(json.dumps(document))
    bad = bundle(versions, "verify")
    assert bad.stdout == "version 1 can be served\nversion 3 can be served\n"
    assert re.search(r"version 2 is refused: .*\nError: 1 of 3 versions cannot be served", refusal(bad))
    assert bundle(versions, "verify", "1", "3").returncode == 0
    assert "Error: 1 of 1 versions cannot be served" in refusal(bundle(versions, "verify", "7"))
    one = run_command("bundle", "verify", "--model-dir", versions / "handmade" / "1")
    assert (one.returncode, one.stdout) == (0, "version 1 can be served\n")


def test_list_shows_damage_and_what_is_missing(versions: Path) -> None:
    (versions / "handmade" / "1" / MODEL_LITERT).unlink()
    (versions / "handmade" / CURRENT).write_text("12")
    lines = bundle(versions, "list").stdout.splitlines()
    assert lines[0] == f"handmade in {versions / 'handmade'}"
    assert "1  damaged: cannot read" in lines[1]
    assert lines[-1].strip() == "12  missing (CURRENT)"
    assert serving_line(versions, pinned="2") == "2  serves (MENAGERIE_MODEL_VERSION)"
    (versions / "handmade" / CURRENT).write_text("newest")
    assert "must contain a version number only" in refusal(bundle(versions, "list"))
    assert "no model in" in refusal(run_command("bundle", "list", "--store", versions, "--name", "other"))


def test_promotion_that_a_service_would_not_follow_is_told(versions: Path) -> None:
    """A pinned version, or one with other features."""
    pinned = bundle(versions, "promote", "2", pinned="1")
    assert "warning: MENAGERIE_MODEL_VERSION is 1 here" in pinned.stderr
    publish(versions, Network.random((4, 4, 2)))
    other = bundle(versions, "promote", "4")
    assert other.returncode == 0
    assert "warning: " in other.stderr
    assert "other features, labels or outputs than the serving version" in other.stderr
    alone = run_command("bundle", "promote", "1", "--model-dir", versions / "handmade" / "1")
    assert "is one bundle, not a folder of versions" in refusal(alone)


def test_current_that_cannot_be_written_is_a_sentence(versions: Path) -> None:
    (versions / "handmade" / CURRENT).mkdir()
    assert "CURRENT (Is a directory): choose a store" in refusal(bundle(versions, "promote", "1"))
    assert "must contain a version number only" in refusal(bundle(versions, "rollback"))


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A folder with modules that have the names of ours and of libraries."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("models", "service", "numpy", "flask", "orjson"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the current folder')\n")
    return folder


@contextmanager
def started(folder: Path, *arguments: str | Path) -> Iterator[Server]:
    """A ready service that ``menagerie serve`` started in a folder."""
    port = free_port()
    program = "import sys; sys.path.remove(''); from menagerie.command import cli; cli(prog_name='menagerie')"
    command = [sys.executable, "-c", program, "serve", "--port", str(port), *map(str, arguments)]
    with serving_by(command, port, {"PYTHONPATH": str(ROOT)}, cwd=folder) as server:
        yield server
    assert server.process.returncode == 0


@pytest.mark.usefixtures("versions")
def test_serve_takes_its_options_from_any_folder(hostile_folder: Path) -> None:
    """A model's own folder, relative to the current one; its name comes from the manifest."""
    options = ("--model-dir", "../store/handmade", "--workers", "3", "--host", "127.0.0.1")
    with started(hostile_folder, *options, "--", "--log-level", "debug") as server:
        health = requests.get(f"{server.url}/health", timeout=30).json()
        assert health["model"] == {"name": "handmade", "version": "3"}
        assert requests.get(f"{server.url}/v2/models/handmade", timeout=30).ok
        assert requests.post(f"{server.url}/predict", json={"features": [0.5, -1, 2]}, timeout=30).ok
        await_workers(server, lambda pids: len(pids) == 3)


def test_serve_without_a_model_ends_with_1(tmp_path: Path) -> None:
    """As `python -m service` does, with the same line."""
    completed = run_command("serve", "--store", tmp_path, "--port", str(free_port()))
    assert completed.returncode == 1
    assert "no model in" in completed.stderr
    completed = run_command("serve", settings={"PORT": "eight"})
    assert completed.returncode == 1
    assert "PORT is invalid" in completed.stderr
