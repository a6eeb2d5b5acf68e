"""Every parser, fed what it should not be: seconds of it here, always the same; as long as one likes by `make fuzz`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz_targets import TARGETS, Target
from support.gunicorn_server import ROOT

CORPUS = sorted(path for path in (ROOT / "tests" / "fuzz" / "corpus").glob("*/*") if path.parent.name in TARGETS)
_ODD = [
    b"\0",
    b"\xff",
    b"\r\n",
    b'"',
    b"\\u",
    b"1e999",
    b"NaN",
    b"[" * 50,
    b"{}",
    b",",
    b"\xed\xa0\x80",
    b"9" * 400,
]


@st.composite
def changed(draw: st.DrawFn, target: Target) -> bytes:
    """A good input with a few pieces cut out, put in or doubled."""
    content = draw(st.sampled_from(target.seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        piece = draw(st.sampled_from(_ODD) | st.binary(max_size=8) | st.just(content[start:end] * 2))
        content = content[:start] + piece + content[end:]
    return content


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_borne(name: str) -> None:
    """What the search begins from."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].feed(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_bears_anything(name: str) -> None:
    """It takes or refuses whatever comes, good input with changes above all."""
    target = TARGETS[name]

    @settings(max_examples=300, derandomize=True, database=None)
    @given(changed(target) | st.binary(max_size=200))
    def bears(content: bytes) -> None:
        target.feed(content)

    bears()


def test_findings_stay_mended() -> None:
    """What was once not borne, by a file each."""
    for path in CORPUS:
        TARGETS[path.parent.name].feed(path.read_bytes())
