"""OpenTelemetry's variables are checked before its SDK reads them, if spans are to be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.errors import StartupError
from service.monitoring.otel_environment import asks_for_spans, require_valid

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user@collector.example:4318/base?tenant=1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel_collector"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x,tenant = 1,"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=dGVzdA=="),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", __file__),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test, service.namespace=zoo"),
        ("OTEL_TRACES_SAMPLER", "ParentBased_TraceIdRatio"),
        ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://x"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_SDK_DISABLED", "False"),
        ("OTEL_BSP_SCHEDULE_DELAY", " 100 "),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", ""),
        ("OTEL_SOMETHING_NEW", "?"),
    ],
)
def test_valid_values_are_accepted(name: str, value: str) -> None:
    """Also those of other exporters, which have no effect, and those that a later release may read."""
    require_valid(ENDPOINT | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "secret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zoo"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_SDK_DISABLED", "perhaps"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1.5"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "long"),
    ],
)
def test_an_invalid_value_is_one_line(name: str, value: str) -> None:
    """It names the variable, and not the value; without an endpoint nothing is checked."""
    with pytest.raises(StartupError, match=name) as refused:
        require_valid(ENDPOINT | {name: value})
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
    if "ENDPOINT" not in name:
        require_valid({name: value})


@pytest.mark.parametrize(
    ("share", "is_valid"), [("0", True), ("1.0", True), (".5", True), ("1e-3", True), ("2", False)]
)
def test_the_share_of_a_ratio_is_from_0_to_1(share: str, is_valid: bool) -> None:
    """Other samplers have other arguments."""
    environment = ENDPOINT | {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
    if is_valid:
        require_valid(environment)
    else:
        with pytest.raises(StartupError, match="OTEL_TRACES_SAMPLER_ARG"):
            require_valid(environment)


NAMES = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(exclude_characters="\0"), max_size=20)))
def test_any_value_is_accepted_or_refused_in_one_line(environment: dict[str, str]) -> None:
    """Whatever an operator writes: nothing else is raised."""
    try:
        require_valid(ENDPOINT | environment)
    except StartupError as error:
        assert "\n" not in str(error)
        assert "OTEL_" in str(error)
    asks_for_spans(environment)
