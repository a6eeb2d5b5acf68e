"""CSV files of every form: each row that Python's `csv` module finds is scored or rejected."""

import codecs
import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arrow_tables import read
from support.known_animals import GREAT_DANE, NAMES

from service.inference import sandbox
from service.score.__main__ import main
from service.score.csv_reader import CsvReader
from service.score.errors import ContentError

GOOD = ",".join(map(str, GREAT_DANE))
LINE_ENDS = ["\n", "\r\n", "\r"]
COLUMNS = 3
BLOCK_BYTES = 1 << 20

line_ends = st.sampled_from(LINE_ENDS)
values = st.text(st.sampled_from('ab,;"\n\r \0é\U0001f999'), max_size=6)
fragments = st.sampled_from(
    ['"', '""', ",", "\n", "\r", "\r\n", "a,b,c\n", '"x\r\ny"', '"a""b"', "\n\n", " ", "\0", "é"]
)


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


def quote(value: str, draw: st.DrawFn) -> str:
    """The value in quotes if it needs them, and at random if it does not."""
    needs_quotes = any(character in value for character in ',"\n\r')
    return '"' + value.replace('"', '""') + '"' if needs_quotes or draw(st.booleans()) else value


@st.composite
def tables(draw: st.DrawFn) -> list[str]:
    """The lines of a table: names, some of which are quoted; rows, also malformed ones; blank lines."""
    lines = ["c1," + draw(st.sampled_from(["c2", '"c2"', '"c\n2"', '"c\r\n2"'])) + ",c3" + draw(line_ends)]
    for _ in range(draw(st.integers(0, 12))):
        count = COLUMNS if draw(st.integers(0, 3)) else draw(st.integers(2, 5))
        row = ",".join(quote(draw(values), draw) for _ in range(count))
        lines.append(row + draw(line_ends))
        lines.extend(draw(st.lists(line_ends, max_size=2)))
    if draw(st.booleans()):
        lines[-1] = lines[-1].rstrip("\r\n")
    return lines


def plain_rows(text: str) -> list[list[str]]:
    """The rows after the first as Python's csv module reads them; a blank line is no row."""
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row][1:]


def read_rows(content: bytes, block_bytes: int, start: int = 0) -> tuple[list[list[str] | None], int]:
    """The rows from number ``start`` on in order, None for a malformed line, and the reader's count of all."""
    reader = CsvReader(io.BufferedReader(io.BytesIO(content)), lambda: 0, ",", block_bytes)
    rows: list[list[str] | None] = []
    for chunk in reader.chunks(start, reader.schema.names):
        malformed = [line.position for line in chunk.malformed]
        for index in range(len(chunk.rows) + 1):
            rows += [None] * malformed.count(index)
            rows += [[column[index].as_py() for column in chunk.rows.columns]] if index < len(chunk.rows) else []
    return rows, reader.total_rows()


@given(tables(), st.sampled_from(["", "\ufeff"]), st.integers(0, 40))
def test_all_rows_are_read(lines: list[str], mark: str, spare: int) -> None:
    """In order, with their values, for any mixture of line ends and any size of blocks that holds the longest row."""
    text = "".join(lines)
    block_bytes = max(len(line.encode()) for line in lines) + 1 + spare
    expected = [row if len(row) == COLUMNS else None for row in plain_rows(text)]
    assert read_rows((mark + text).encode(), block_bytes) == (expected, len(expected))


@given(tables(), st.integers(0, 12))
def test_a_resumed_reader_skips_exactly_the_first_rows(lines: list[str], start: int) -> None:
    """Rows and the malformed lines after them; but it counts all rows, so that those of earlier parts are checked."""
    text = "".join(lines)
    rows, total = read_rows(text.encode(), 100)
    good = [index for index, row in enumerate(rows) if row is not None]
    first = good[start - 1] + 1 if 0 < start <= len(good) else 0 if start == 0 else len(rows)
    if start <= len(good):
        assert read_rows(text.encode(), 100, start) == (rows[first:], total)


@given(st.lists(fragments).map("".join), st.integers(2, 50))
def test_no_row_is_lost_in_silence(text: str, block_bytes: int) -> None:
    """Whatever the bytes are, all rows are read or an error says why not."""
    text = f"c1,c2,c3\n{text}"
    try:
        rows, total = read_rows(text.encode(), block_bytes)
    except ContentError as error:
        assert "never closed" in str(error) or "longer than" in str(error)
    else:
        assert len(rows) == total == len(plain_rows(text))


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("first_end", LINE_ENDS)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_line_ends_may_differ_from_the_first(tmp_path: Path, suffix: str, first_end: str, end: str) -> None:
    """Excel for Mac ends lines with CR. The table is longer than a block, so that no row is lost at its end either."""
    count = BLOCK_BYTES // len(GOOD) + 2
    content = ",".join(["id", *NAMES]) + first_end + "".join(f"{number},{GOOD}{end}" for number in range(count))
    path, output = tmp_path / f"t{suffix}", tmp_path / "o.parquet"
    path.write_bytes(gzip.compress(content.encode()) if suffix == ".csv.gz" else content.encode())
    assert main([str(path), str(output), "--quiet", "--keep", "id"]) == 0
    assert [row["id"] for row in read(output)] == [str(number) for number in range(count)]


def test_a_block_does_not_end_in_a_row() -> None:
    """Arrow would drop the LF of a line end in quotes, or split a row at a doubled quote, wherever a block ends."""
    for row in ('a,"x\r\ny",c\r\n', 'a,"x""\r\ny",c\r\n', 'a,"""",c\r\n'):
        text = "c1,c2,c3\r\n" + 20 * row
        for block_bytes in range(len(row) + 1, 3 * len(row)):
            rows, _ = read_rows(text.encode(), block_bytes)
            assert rows == plain_rows(text)


def test_a_long_malformed_line_is_cut_visibly(tmp_path: Path) -> None:
    """Its fault shows the first 1,000 characters, and that there are more."""
    path = tmp_path / "t.csv"
    path.write_text(",".join(NAMES) + "\n" + 2000 * "x" + "\n")
    assert main([str(path), str(tmp_path / "o.arrow"), "--quiet"]) == 0
    message = read(tmp_path / "o.rejects.arrow")[0]["faults"][0]["message"]
    assert message.endswith("x [...]")
    assert message.count("x") == 1000


@pytest.mark.parametrize("first_lines", ["sep=;\n", "sep=;\r\n", "\ufeffsep=;\r"])
def test_the_delimiter_of_excel_is_used(tmp_path: Path, first_lines: str) -> None:
    """A line that names it may stand above the column names."""
    path = tmp_path / "t.csv"
    path.write_bytes((first_lines + ";".join(["id", *NAMES]) + f"\na,b;{GOOD.replace(',', ';')}\n").encode())
    assert main([str(path), str(tmp_path / "o.csv"), "--quiet"]) == 0
    assert [row["id"] for row in read(tmp_path / "o.csv")] == ["a,b"]


@pytest.mark.parametrize(("delimiter", "option"), [(";", ";"), ("\t", "\t"), ("\t", r"\t"), ("|", "|")])
def test_other_delimiters(tmp_path: Path, delimiter: str, option: str) -> None:
    """A quoted value may have them."""
    path = tmp_path / "t.csv"
    path.write_text(delimiter.join(["id", *NAMES]) + f'\n"a{delimiter}b"{delimiter}{GOOD.replace(",", delimiter)}\n')
    assert main([str(path), str(tmp_path / "o.arrow"), "--quiet", "--delimiter", option]) == 0
    assert [row["id"] for row in read(tmp_path / "o.arrow")] == [f"a{delimiter}b"]


@pytest.mark.parametrize(
    ("decimal", "thousands", "options"),
    [
        (",", "", ["--decimal", ","]),
        (",", ".", ["--decimal", ",", "--thousands", "."]),
        (",", ".", ["--thousands", "."]),
        (".", ",", ["--thousands", ","]),
        (".", " ", ["--thousands", " "]),
        (".", "'", ["--thousands", "'"]),
    ],
)
def test_other_decimal_signs_and_thousands(tmp_path: Path, decimal: str, thousands: str, options: list[str]) -> None:
    """As training reads them; a value in another format is rejected, and kept columns are copied unchanged."""
    for form in ("plain", "local"):
        path = tmp_path / f"{form}.csv"
        row = [f"{value:.2f}" for value in GREAT_DANE]
        if form == "local":
            row = [cell.replace(".", decimal) for cell in row]
        number = f"12{thousands}345{decimal}5"
        text = (
            ";".join(["note", *NAMES]) + "\n" + f"{number};{';'.join(row)}\n" + f"x;{';'.join(['1.2.3', *row[1:]])}\n"
        )
        path.write_text(text)
        output = tmp_path / f"{form}.out.csv"
        arguments = options if form == "local" else []
        assert main([str(path), str(output), "--quiet", "--delimiter", ";", *arguments]) == 0
        (scored,) = read(output)
        assert scored["note"] == number
        (rejected,) = read(tmp_path / f"{form}.out.rejects.csv")
        assert rejected["note"] == "x"
    assert read(tmp_path / "plain.out.csv")[0]["confidence"] == read(tmp_path / "local.out.csv")[0]["confidence"]


@pytest.mark.parametrize("option", ["", ";;", '"', "\n", "é", "\0"])
def test_what_cannot_be_a_delimiter(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    """The parser takes one byte, which neither ends a line nor quotes."""
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "t.csv"), str(tmp_path / "o.csv"), "--delimiter", option])
    assert "is not one ASCII character other than a quote" in capsys.readouterr().err


def test_names_may_have_spaces_around_them(tmp_path: Path) -> None:
    """As for training; the options and the output have the names without them."""
    path = tmp_path / "t.csv"
    path.write_text(", ".join(["id ", "b c", *NAMES]) + f"\na,b,{GOOD}\n")
    assert main([str(path), str(tmp_path / "o.csv"), "--quiet", "--keep", "id,b c"]) == 0
    assert list(read(tmp_path / "o.csv")[0])[:3] == ["id", "b c", "label"]


def test_names_that_differ_in_spaces_stay_different(tmp_path: Path) -> None:
    """Without the spaces, it would be unclear which column is meant."""
    path = tmp_path / "t.csv"
    path.write_text(",".join(["id", " id", *NAMES]) + f"\na,b,{GOOD}\n")
    assert main([str(path), str(tmp_path / "o.csv"), "--quiet"]) == 0
    assert list(read(tmp_path / "o.csv")[0])[:2] == ["id", " id"]


HEADER = ",".join(NAMES).encode() + b"\n"
ROW = GOOD.encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its first line is empty"),
        (b"\n" + HEADER + ROW, "its first line is empty"),
        (HEADER.replace(b",", b";") + ROW, "the columns seem to be separated by semicolons: set --delimiter ';'"),
        (HEADER.replace(b",", b"\t") + ROW, r"the columns seem to be separated by tabs: set --delimiter '\t'"),
        (HEADER.replace(b",", b"|") + ROW, "the columns seem to be separated by vertical bars: set --delimiter '|'"),
        (b"sep=;\n" + HEADER + ROW, "the columns seem to be separated by commas: set --delimiter ','"),
        (b" body_mass_kg,body_mass_kg ," + HEADER[13:] + ROW, "2 columns are named body_mass_kg: rename all but one"),
        (codecs.BOM_UTF16_LE + (HEADER + ROW).decode().encode("utf-16-le"), "it is UTF-16 text: save it as UTF-8"),
        ((HEADER + ROW).decode().encode("utf-16-be"), "so it may be UTF-16 text: save it as UTF-8"),
        (gzip.compress(HEADER + ROW), "it is compressed with gzip: decompress it"),
        (b"PK\x03\x04...", "it is a ZIP archive or an Excel workbook: extract or export a CSV file"),
        (b"PAR1...", "it is Parquet: use --from parquet"),
        (b"ARROW1..", "it is Arrow: use --from arrow"),
        (b"\xff," + HEADER, "the first line is not UTF-8"),
        (HEADER + ROW + b"\xe9," + ROW, "row 2 is not UTF-8 (invalid continuation byte): convert the file"),
        (HEADER + ROW + b"\xe9\n" + ROW, "row 2 is not UTF-8 (invalid continuation byte): convert the file"),
        (HEADER + ROW + ROW[:-1] + b"\xe9", "row 2 is not UTF-8 (unexpected end of data): convert the file"),
        (HEADER + codecs.BOM_UTF8 + ROW, "row 1 begins with a byte order mark, as if files were joined: remove it"),
        (HEADER + ROW + b'"' + ROW + ROW, "row 2 has a quote that is never closed: close or remove it"),
        (b'"' + HEADER + ROW, "the first line has a quote that is never closed"),
        (HEADER + ROW + b'"' + ROW * 40_000, "row 2 is longer than 1,048,576 bytes: is a quote not closed"),
        (HEADER + ROW + b"1" * BLOCK_BYTES + ROW, "row 2 is longer than 1,048,576 bytes: is a quote not closed"),
        (b"a" * BLOCK_BYTES + HEADER, "the first line does not contain column names (field larger than field limit"),
        (b"a," * BLOCK_BYTES + HEADER, "the first line, which has the column names, is longer than 1 MiB"),
    ],
)
def test_what_is_not_a_readable_csv_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    """In one line that names the file, the problem and the remedy; nothing is written."""
    (tmp_path / "t.csv").write_bytes(content)
    assert main([str(tmp_path / "t.csv"), str(tmp_path / "o.csv")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
