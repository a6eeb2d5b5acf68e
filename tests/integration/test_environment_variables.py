"""Variables of the environment: an empty one counts as not set, and a senseless one is one line that names it."""

import re
import subprocess

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import GUNICORN, ROOT, await_message, environment, free_port, parse_log, starting

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
COLLECTOR = {ENDPOINT: "http://127.0.0.1:9"}
JSON = {"Content-Type": "application/json"}

SENSELESS: list[tuple[dict[str, str], str]] = [
    ({"WEB_CONCURRENCY": "abc"}, "WEB_CONCURRENCY is invalid ('abc'): set it to a number of workers from 1 to 255"),
    ({"WEB_CONCURRENCY": "1.5"}, "WEB_CONCURRENCY is invalid ('1.5'): "),
    ({"WEB_CONCURRENCY": "-1"}, "WEB_CONCURRENCY is invalid ('-1'): "),
    ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY is invalid ('0'): "),
    ({"WEB_CONCURRENCY": "1000"}, "WEB_CONCURRENCY is invalid ('1000'): "),
    ({"PORT": "http"}, "PORT is invalid ('http'): set it to a port from 0 (any free one) to 65535"),
    ({"PORT": "80000"}, "PORT is invalid ('80000'): "),
    ({"PORT": "tcp://10.0.0.1:8000"}, "PORT is invalid ("),
    ({"FORWARDED_ALLOW_IPS": "proxy"}, "FORWARDED_ALLOW_IPS is invalid ('proxy'): set it to the addresses or networks"),
    ({"FORWARDED_ALLOW_IPS": "10.0.0.1/8"}, "FORWARDED_ALLOW_IPS is invalid ('10.0.0.1/8'): "),
    ({"LISTEN_FDS": "many"}, "LISTEN_FDS is invalid ('many'): systemd sets it"),
    ({"LISTEN_PID": "me"}, "LISTEN_PID is invalid ('me'): systemd sets it"),
    ({"GUNICORN_CMD_ARGS": "--nonsense"}, "GUNICORN_CMD_ARGS is invalid (unrecognized arguments: --nonsense): "),
    ({"GUNICORN_CMD_ARGS": "--bind 'x"}, "GUNICORN_CMD_ARGS is invalid (No closing quotation): "),
    ({"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:http"}, "GUNICORN_CMD_ARGS is invalid ('http' is not a valid port"),
    ({"GUNICORN_CMD_ARGS": "--timeout soon"}, "GUNICORN_CMD_ARGS is invalid (argument -t/--timeout: invalid int value"),
    ({"GUNICORN_CMD_ARGS": "--worker-class best"}, "GUNICORN_CMD_ARGS is invalid (class uri 'best' invalid or not"),
    ({"GUNICORN_CMD_ARGS": "app:app"}, "GUNICORN_CMD_ARGS is invalid ('app:app' belongs to no option): "),
    ({"GUNICORN_CMD_ARGS": "--config other.py"}, "GUNICORN_CMD_ARGS is invalid (--config has no effect there: "),
    ({"GUNICORN_CMD_ARGS": "--log-level loud"}, "--log-level loud is invalid: set it to one of debug, "),
    ({"GUNICORN_CMD_ARGS": "--worker-tmp-dir /nowhere"}, "--worker-tmp-dir /nowhere is not a folder: "),
    ({"GUNICORN_CMD_ARGS": "--workers 300"}, "cannot run 300 workers: set WEB_CONCURRENCY to 1 to 255"),
    ({"GUNICORN_CMD_ARGS": "--certfile /nowhere"}, "cannot use --certfile /nowhere with --keyfile None (No such file"),
    ({"MENAGERIE_POLL_SECONDS": "inf"}, "MENAGERIE_POLL_SECONDS is invalid: Input should be less than or equal to"),
    ({"MENAGERIE_WRITE_SECONDS": "1e9"}, "MENAGERIE_WRITE_SECONDS is invalid: "),
    ({"MENAGERIE_HEALTH_PORT": "health"}, "MENAGERIE_HEALTH_PORT is invalid: Input should be a valid integer"),
    ({"MENAGERIE_HEALTH_PORT": "-1"}, "MENAGERIE_HEALTH_PORT is invalid: Input should be greater than or equal to 0"),
    ({"MENAGERIE_HEALTH_PORT": "80000"}, "MENAGERIE_HEALTH_PORT is invalid: Input should be less than or equal to"),
    ({"MENAGERIE_HEALTH_PORT": "8000", "PORT": "8000"}, "MENAGERIE_HEALTH_PORT and the service's port are both 8000: "),
    (
        {"MENAGERIE_HEALTH_PORT": "8000", "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:8000 --reuse-port"},
        "MENAGERIE_HEALTH_PORT and the service's port are both 8000: set one to another port",
    ),
    (
        {"MENAGERIE_HEALTH_PORT": "8081", "GUNICORN_CMD_ARGS": "--worker-class gthread"},
        "MENAGERIE_HEALTH_PORT works with the asgi worker only: ",
    ),
    ({"MENAGERIE_PLATFORM": "heroku"}, "MENAGERIE_PLATFORM is invalid: Input should be 'none', 'sagemaker', "),
    ({"MENAGERIE_VERTEX_PREDICT_ROUTE": "predict"}, "MENAGERIE_VERTEX_PREDICT_ROUTE is invalid: String should match"),
    ({"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT is invalid ('http'): set it to a port"),
    ({"AIP_HTTP_PORT": "8080", "AIP_STORAGE_URI": "gs://bucket/animals"}, "AIP_STORAGE_URI is gs://bucket/animals, "),
    ({"AZUREML_MODEL_DIR": "/nowhere"}, "no model in /nowhere (AZUREML_MODEL_DIR): it must be a bundle, or contain"),
    ({ENDPOINT: "collector"}, f"{ENDPOINT} is invalid: set it to a URL such as http://localhost:4318"),
    (
        COLLECTOR | {"OTEL_BSP_MAX_QUEUE_SIZE": "0"},
        "OTEL_BSP_MAX_QUEUE_SIZE is invalid: set it to a whole number from 1",
    ),
    (
        COLLECTOR | {"OTEL_BSP_MAX_QUEUE_SIZE": "100"},
        "OTEL_BSP_MAX_QUEUE_SIZE, 100, is below OTEL_BSP_MAX_EXPORT_BATCH",
    ),
    (COLLECTOR | {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x"}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is invalid: "),
    (COLLECTOR | {"OTEL_TRACES_SAMPLER": "some"}, "OTEL_TRACES_SAMPLER is invalid: set it to a sampler such as"),
    (
        COLLECTOR | {"OTEL_EXPORTER_OTLP_HEADERS": "secret"},
        "OTEL_EXPORTER_OTLP_HEADERS is invalid: set it to name=value",
    ),
]


def run_to_the_end(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or GUNICORN,
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("settings", "expected"), SENSELESS, ids=lambda value: str(value)[:60])
def test_a_senseless_variable_is_one_line(settings: dict[str, str], expected: str) -> None:
    """With the variable and the remedy, and exit code 1, as for every start that fails."""
    ended = run_to_the_end(**({"PORT": str(free_port())} | settings))
    lines = [line for line in parse_log(ended.stderr) if line["level"] != "info"]
    assert (ended.returncode, len(lines)) == (1, 1), ended.stderr
    assert str(lines[0]["message"]).startswith(f"menagerie: {expected}")
    assert lines[0].keys() == {"time", "level", "logger", "pid", "message"}
    assert "secret" not in ended.stderr


def test_the_line_has_the_format_of_the_log() -> None:
    """MENAGERIE_LOG_FORMAT holds for it too, although it comes before gunicorn."""
    ended = run_to_the_end(WEB_CONCURRENCY="abc", MENAGERIE_LOG_FORMAT="text")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "[CRITICAL] menagerie: WEB_CONCURRENCY is invalid" in ended.stderr


def test_empty_variables_count_as_not_set() -> None:
    """All of them at once, as in a file that lists every variable; the service uses its defaults and sends spans."""
    names = "WEB_CONCURRENCY GUNICORN_CMD_ARGS FORWARDED_ALLOW_IPS LISTEN_FDS LISTEN_PID MENAGERIE_ENGINE "
    names += "MENAGERIE_MAX_ROWS MENAGERIE_API_KEYS MENAGERIE_LOG_FORMAT OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG "
    names += "OTEL_BSP_MAX_QUEUE_SIZE OTEL_BSP_SCHEDULE_DELAY OTEL_EXPORTER_OTLP_TIMEOUT OTEL_EXPORTER_OTLP_HEADERS "
    names += "OTEL_RESOURCE_ATTRIBUTES OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_SERVICE_NAME OTEL_SDK_DISABLED "
    names += "MENAGERIE_HEALTH_PORT"
    empty = dict.fromkeys(names.split(), "")
    with starting("--bind", "127.0.0.1:0", **empty, **COLLECTOR) as process:
        url = await_message(process, "serving animals 1 at").partition(";")[0].rpartition(" ")[2]
        messages = [await_message(process, "ASGI server listening") for _ in range(2)]
        assert requests.post(f"{url}/predict", GOOD, headers=JSON, timeout=30).json()["label"] == "cat"
        process.terminate()
        assert process.stderr
        log = parse_log(process.stderr.read())
    assert len(messages) == 2
    assert [line for line in log if "OTEL" in line["message"] or "sampler" in line["message"]] == []


@pytest.mark.parametrize("settings", [{}, {"PORT": ""}], ids=str)
def test_the_port_is_8000_unless_set(settings: dict[str, str]) -> None:
    """On all addresses, as in the image."""
    shown = run_to_the_end(*GUNICORN, "--print-config", **settings)
    assert re.search(r"^bind += \['0\.0\.0\.0:8000'\]$", shown.stdout, re.MULTILINE), shown


@pytest.mark.tensorflow
def test_a_service_whose_workers_cannot_load_the_model_ends() -> None:
    """With Keras each worker loads the model; gunicorn would start new ones for ever."""
    ended = run_to_the_end(MENAGERIE_ENGINE="keras", MENAGERIE_MODEL_NAME="plants", PORT=str(free_port()))
    messages = [line["message"] for line in parse_log(ended.stderr)]
    assert ended.returncode == 1
    assert any(message.startswith("menagerie: no model in ") for message in messages)
    assert messages[-1] == "Reason: no worker could load the model"
