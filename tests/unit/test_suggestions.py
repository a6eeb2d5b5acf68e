"""What an unknown name or category may have meant."""

import string
from collections.abc import Sequence
from random import Random

import pytest

from models.feature import Feature
from service.http.errors import UnacceptableError
from service.inference import suggestions
from service.inference.suggestions import Suggestions, find_similar, look_alike, quote
from service.inference.validation import Validator


def random_words(count: int) -> list[str]:
    random = Random(1)  # noqa: S311 (reproducible, not secret)
    letters = string.ascii_lowercase + " éß"
    return ["".join(random.choices(letters, k=random.randint(5, 20))) + str(number) for number in range(count)]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that another one has been compared with."""
    texts: list[str] = []

    def compare(text: str, known: Sequence[str], least: float) -> str | None:
        texts.extend(known)
        return find_similar(text, known, least)

    monkeypatch.setattr(suggestions, "find_similar", compare)
    return texts


@pytest.mark.parametrize("count", [3, 100, 101, 5_000])
def test_one_error_in_a_text_is_found(count: int) -> None:
    """However many others there are: another case, a letter more, less or another one, and blanks."""
    words = random_words(count)
    suggestions = Suggestions(words)
    for word in words[:: max(1, count // 20)]:
        assert suggestions.find(word.upper()) == word
        assert suggestions.find(f" {word}  ") == word
        for position in range(0, len(word), 3):
            for text in (word[:position] + word[position + 1 :], f"{word[:position]}#{word[position:]}"):
                assert suggestions.find(text) == word, text


def test_nothing_is_suggested_for_what_is_like_nothing() -> None:
    assert Suggestions(["Biscoe", "Dream"]).find("417") is None
    assert Suggestions(random_words(1000)).find("\u4e2d\u6587") is None


def test_a_large_vocabulary_is_searched_without_reading_all_of_it(compared: list[str]) -> None:
    words = random_words(10_000)
    assert Suggestions(words).find(f"x{words[5000]}") == words[5000]
    assert len(compared) <= 100


def test_a_wrong_name_is_not_compared_with_all_of_many(compared: list[str]) -> None:
    names = random_words(1000)
    features = [Feature(name=name, minimum=0, maximum=1) for name in names]
    with pytest.raises(UnacceptableError) as refused:
        Validator(features, max_rows=1, max_errors=1).validate_rows([{f"{names[7]}x": 1}], "instances")
    assert refused.value.faults[0].message.endswith(f"did you mean {names[7]}?")
    assert len(compared) <= 100


def test_texts_that_look_alike() -> None:
    """Unicode composes some characters in several ways."""
    assert look_alike("Torgers\u00e9n", "Torgerse\u0301n")
    assert not look_alike("Dream", "dream")


def test_long_texts_are_not_compared_as_unicode_composes_them() -> None:
    """The order of so many accents, as a client can send them for a category, would take hours."""
    accents = "\u0301" * 1_000_000 + "\u0316" * 1_000_000

    assert not look_alike(f"Torgersen{accents}", "Torgersen")


def test_there_is_always_a_nearest_name() -> None:
    for words in (["Biscoe", "Dream"], random_words(1000)):
        assert Suggestions(words).find_nearest("\u4e2d\u6587") in words


def test_a_quoted_text_shows_what_cannot_be_seen() -> None:
    """A text is quoted as JSON has it; letters of any language stay as they are."""
    assert quote('ümläut "x"') == '"ümläut \\"x\\""'
    assert quote("Dream\u200b") == '"Dream\\u200b"'
    assert quote("a\u00a0b") == '"a\\u00a0b"'
    assert quote("x" * 5000) == '"' + "x" * 100 + '…"'
