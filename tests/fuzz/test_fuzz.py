"""Each fuzz target with a few hundred reproducible inputs; `make fuzz` runs them for longer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz_targets import TARGETS, Target
from support.gunicorn_server import ROOT

CORPUS = sorted(path for path in (ROOT / "tests" / "fuzz" / "corpus").glob("*/*") if path.parent.name in TARGETS)
_FRAGMENTS = [
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
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """A seed with up to four pieces removed, inserted or doubled."""
    content = draw(st.sampled_from(target.seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        piece = draw(st.sampled_from(_FRAGMENTS) | st.binary(max_size=8) | st.just(content[start:end] * 2))
        content = content[:start] + piece + content[end:]
    return content


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_pass(name: str) -> None:
    """The inputs that fuzzing starts from break no rule."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_parser_accepts_or_rejects_any_input(name: str) -> None:
    """Random bytes, and valid input with mutations."""
    target = TARGETS[name]

    @settings(max_examples=300, derandomize=True, database=None)
    @given(mutated(target) | st.binary(max_size=200))
    def check(content: bytes) -> None:
        target.check(content)

    check()


def test_former_failures_pass() -> None:
    """Each file of the corpus once made a parser fail."""
    for path in CORPUS:
        TARGETS[path.parent.name].check(path.read_bytes())
