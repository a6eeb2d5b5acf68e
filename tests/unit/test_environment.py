"""Variables that gunicorn reads: empty ones are removed, and senseless ones found before it is started."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.server.environment import drop_empty, find_fault

NAMES = ["PORT", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS", "LISTEN_FDS", "LISTEN_PID"]


def test_empty_variables_are_removed() -> None:
    """Those of the service, of gunicorn and of OpenTelemetry; spaces are a value, as in a secret that went wrong."""
    environment = dict.fromkeys([*NAMES, "MENAGERIE_ENGINE", "OTEL_SERVICE_NAME", "PYTHONPATH"], "")
    drop_empty(environment)
    assert environment == {"PYTHONPATH": ""}
    drop_empty(environment := {"MENAGERIE_API_KEYS": " "})
    assert environment == {"MENAGERIE_API_KEYS": " "}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", " 8000 "),
        ("PORT", "65535"),
        ("WEB_CONCURRENCY", "1"),
        ("WEB_CONCURRENCY", "255"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8, ::1,"),
        ("GUNICORN_CMD_ARGS", "--bind [::]:8000 --bind unix:/run/s --max-requests 10 --worker-class asgi"),
        ("GUNICORN_CMD_ARGS", "--certfile 'a file' --log-level debug"),
    ],
)
def test_what_gunicorn_understands_is_no_fault(name: str, value: str) -> None:
    """Files are checked later, as the service starts."""
    assert find_fault({name: value}) is None


@pytest.mark.parametrize("name", ["PORT", "WEB_CONCURRENCY", "LISTEN_FDS", "LISTEN_PID"])
@pytest.mark.parametrize("value", ["abc", "1.5", "-1", "1e3", "0x10", " ", "1 2", "1_0", "٣", "9" * 5000])
def test_what_is_no_number_is_a_fault(name: str, value: str) -> None:
    """The line names the variable and the remedy."""
    fault = find_fault({name: value})
    assert fault
    assert fault.startswith(f"{name} is invalid (")
    assert "set" in fault.rpartition("): ")[2]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(exclude_characters="\0"), max_size=30)))
def test_any_value_is_no_fault_or_one_line(environment: dict[str, str]) -> None:
    """Whatever an operator writes: nothing is raised."""
    try:
        fault = find_fault(environment)
    except SystemExit:  # --help and --version
        return
    assert fault is None or ("\n" not in fault and "is invalid" in fault)
