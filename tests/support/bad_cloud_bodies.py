"""Invalid requests to SageMaker's ``POST /invocations``, in CSV, JSON Lines and JSON."""

import json
from typing import NamedTuple

from support.known_animals import LLAMA, MAINE_COON, NAMES, named

CSV, LINES, JSON = "text/csv", "application/jsonlines", "application/json"


class BadBody(NamedTuple):
    """A request that is refused with ``status``; its problem says ``message`` somewhere."""

    description: str
    body: bytes | str
    status: int
    message: str
    media_type: str = CSV


ROW = ",".join(map(str, MAINE_COON))
HEADER = ",".join(NAMES)
BAD_BODIES = [
    BadBody("nothing", "", 422, "rows must have 1 to 10000 rows, not 0"),
    BadBody("blank lines", "\n\r\n\n", 422, "rows must have 1 to 10000 rows, not 0"),
    BadBody("a header alone", HEADER, 422, "rows must have 1 to 10000 rows, not 0"),
    BadBody("a value too few", ROW.partition(",")[2], 422, "rows[0] must have 8 numbers, not 7, in this order"),
    BadBody("a value too many", f"{ROW}\n{ROW},", 422, "rows[1] must have 8 numbers, not 9"),
    BadBody("another delimiter", ROW.replace(",", ";"), 422, "rows[0] must have 8 numbers, not 1"),
    BadBody("a text", f"cat{ROW[3:]}", 422, "body_mass_kg must be a number from 0.0005 to 300 kg, not a string"),
    BadBody("a missing value", ROW[3:], 422, "body_mass_kg is missing: it must be a number"),
    BadBody("a gap", f"NA{ROW[3:]}", 422, "body_mass_kg is missing: it must be a number"),
    BadBody("a number out of bounds", f"900{ROW[3:]}", 422, "body_mass_kg must be in the range 0.0005 to 300 kg"),
    BadBody("NaN", f"nan{ROW[3:]}", 422, "body_mass_kg must be a finite number"),
    BadBody("infinity", f"-inf{ROW[3:]}", 422, "body_mass_kg must be a finite number"),
    BadBody("an underscore", f"1_0{ROW[3:]}", 422, "body_mass_kg must be a number"),
    BadBody("a decimal comma", f'"6,8"{ROW[3:]}', 422, "body_mass_kg must be a number"),
    BadBody("digits of another script", f"\u0667{ROW[3:]}", 422, "body_mass_kg must be a number"),
    BadBody("a quote that is never closed", f'"{ROW}', 400, "the body is not valid CSV: "),
    BadBody("text behind a quote", f'"6"8{ROW[3:]}', 400, "the body is not valid CSV: "),
    BadBody("a value beyond all sizes", "1" * 200_000, 400, "the body is not valid CSV: field larger than"),
    BadBody("UTF-16", ROW.encode("utf-16"), 400, "the body is not valid UTF-8: invalid byte at position 0"),
    BadBody("a header in the wrong place", f"{ROW}\n{HEADER}", 422, "must be a number"),
    BadBody("a header that is denied", f"{HEADER}\n{ROW}", 422, "must be a number", "text/csv; header=absent"),
    BadBody("a header that is none", ROW, 422, "column 6.8 is unknown", "text/csv; header=present"),
    BadBody("an unknown column", f"id,{HEADER}\n1,{ROW}", 422, "column id is unknown: did you mean"),
    BadBody("a column twice", f"{HEADER},body_mass_kg\n{ROW},1", 422, "column body_mass_kg occurs twice"),
    BadBody("a column missing", f"{HEADER[13:]}\n{ROW[4:]}", 422, "body_mass_kg is missing"),
    BadBody(
        "a short row below a header", f"{HEADER}\n1,2", 422, "rows[0] must have 8 values, as the header has, not 2"
    ),
    BadBody("too many rows", f"{ROW}\n" * 10_001, 422, "rows must have 1 to 10000 rows, not 10001"),
    BadBody("no lines", "", 422, "lines must have 1 to 10000 rows, not 0", LINES),
    BadBody("half a line", json.dumps(named(LLAMA))[:-1], 400, "lines[0]: the line is not valid JSON", LINES),
    BadBody("a number as a line", f"{json.dumps(MAINE_COON)}\n1", 400, "lines[1] must be an object or a list", LINES),
    BadBody("a document in JSON Lines", json.dumps({"instances": [LLAMA]}), 422, "instances is unknown", LINES),
    BadBody("a key twice", '{"features": [1], "features": [2]}', 422, "8 numbers", LINES),
    BadBody("a valid key twice", json.dumps(named(LLAMA))[:-1] + ', "body_mass_kg": 1}', 422, "occurs twice", LINES),
    BadBody("a short line", "[1]", 422, "lines[0] must have 8 numbers, not 1", LINES),
    BadBody("a sparse line", '{"data":{"features":{"keys":[1],"values":[1]}}}', 422, "data is unknown", LINES),
    BadBody("no media type", ROW, 415, "send one of application/json, text/csv, application/jsonlines", ""),
    BadBody("another media type", ROW, 415, "send one of application/json", "application/x-recordio-protobuf"),
    BadBody("CSV as JSON", ROW, 400, "the body is not valid JSON", JSON),
    BadBody("no rows", "{}", 400, "send one of `instances`, or `features`", JSON),
    BadBody("two forms", json.dumps({"instances": [LLAMA], "features": LLAMA}), 400, "send one of", JSON),
    BadBody("instances that are no list", '{"instances": 1}', 400, "`instances` must be a list of rows", JSON),
    BadBody("no object", "[]", 400, "the body must be a JSON object", JSON),
]
