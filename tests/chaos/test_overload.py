"""More work than there is time for: what is taken on is answered, the rest refused at once, health always told."""

import time

import requests
from animals import KNOWN
from callers import Load, Question, questions
from faults import Report
from serving import serving

SETTINGS = {"MENAGERIE_MAX_CONCURRENCY": "8", "WEB_CONCURRENCY": "1"}
HEALTH = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/animals/ready")


def explanations() -> list[Question]:
    return [question for question in questions() if question.request.startswith(b"POST /explain")]


def test_overload_is_refused_and_health_told(report: Report, long: bool) -> None:
    """Many times more callers than are taken on: 200 or 503 with Retry-After, nothing lost, and health answers."""
    seconds = 15 if long else 3
    assert len(explanations()) == len(KNOWN)
    with serving(**SETTINGS) as server:
        with Load(server.port, callers=8, asked=explanations()) as fitting:
            time.sleep(seconds)
        with Load(server.port, callers=24, asked=explanations(), after_refusal=0.2) as over:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for path in HEALTH:
                    assert requests.get(server.url + path, timeout=30).status_code == 200
    kept = over.tally.statuses[200] / fitting.tally.statuses[200]
    more = f"{over.tally.statuses[503]:,} refused; {kept:.0%} of what 8 callers got answered"
    report("three times as many explanations as are taken on", 1, over.tally, more)
    assert set(over.tally.statuses) == {200, 503}
    assert (over.tally.lost, over.tally.wrong, fitting.tally.lost) == (0, 0, 0)
    assert kept > 0.1
