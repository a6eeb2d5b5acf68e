"""What an attacker sends: values for every protocol, and raw requests, each with the statuses that it gets."""

import json
import re
import socket
from typing import Any, NamedTuple

from support.bad_input import GOOD
from support.known_animals import MAINE_COON, NAMES

MARKER = "zebra"  # is sent, and must be in no response and no line of the log


class Protocol(NamedTuple):
    """A path, and a good body for it whose last number, 38.6, can be replaced."""

    path: str
    body: bytes

    @property
    def is_native(self) -> bool:
        return not self.path.startswith("/v")

    def body_with(self, value: bytes) -> bytes:
        return value.join(self.body.rsplit(b"38.6", 1))


def _body(document: Any) -> bytes:
    return json.dumps(document).encode()


_TENSOR = {"name": "features", "shape": [1, 8], "datatype": "FP32", "data": MAINE_COON}
PROTOCOLS = [
    Protocol("/predict", GOOD),
    Protocol("/predict", _body({"instances": [MAINE_COON, MAINE_COON]})),
    Protocol("/explain", GOOD),
    Protocol("/v1/models/animals:predict", _body({"instances": [MAINE_COON]})),
    Protocol("/v1/models/animals:predict", _body({"inputs": {name: [v] for name, v in zip(NAMES, MAINE_COON)}})),  # noqa: B905
    Protocol("/v1/models/animals:classify", _body({"examples": [dict(zip(NAMES, MAINE_COON, strict=True))]})),
    Protocol("/v2/models/animals/infer", _body({"inputs": [_TENSOR]})),
    Protocol("/v2/models/animals/infer", _body({"inputs": [{**_TENSOR, "data": [MAINE_COON]}]})),
]


class Value(NamedTuple):
    """JSON in the place of a number, and the status for it on native routes; other protocols have 400 for all 4xx."""

    name: str
    text: bytes
    status: int


VALUES = [
    Value("100 levels of lists", b"[" * 100 + b"]" * 100, 422),
    Value("100,000 levels of lists", b"[" * 100_000 + b"]" * 100_000, 400),
    Value("100 levels of objects", b'{"a":' * 100 + b"1" + b"}" * 100, 422),
    Value("100,000 levels of objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
    Value("lists that never end", b"[" * 100_000, 400),
    Value("a key twice, deep inside", b'[[{"a":1,"a":2}]]', 422),
    Value("half a surrogate pair", b'"\\ud800"', 400),
    Value("the pair the wrong way round", b'"\\udc00\\ud800"', 400),
    Value("half a pair in a key", b'{"\\udfff":1}', 400),
    Value("half a pair in UTF-8", b'"\xed\xa0\x80"', 400),
    Value("overlong UTF-8", b'"\xc0\xaf"', 400),
    Value("beyond Unicode", b'"\xf4\x90\x80\x80"', 400),
    Value("a byte order mark inside", b"\xef\xbb\xbf38.6", 400),
    Value("a NUL", b"\x0038.6", 400),
    Value("NaN", b"NaN", 400),
    Value("a large exponent", b"1e999", 422),
    Value("a large exponent, negative", b"-1e999", 422),
    Value("an exponent of 100,000 digits", b"1e" + b"9" * 100_000, 422),
    Value("an exponent of 100,000 digits to nothing", b"1e-" + b"9" * 100_000, 422),
    Value("a number of 1 MB", b"9" * 1_000_000, 422),
    Value("a number of 1 MB behind the point", b"0." + b"0" * 1_000_000 + b"1", 422),
    Value("a good number of 1 MB", b"38.6" + b"0" * 1_000_000, 200),
    Value("an integer of 64 bits and one", b"18446744073709551616", 422),
    Value("a string of 1 MB", b'"' + b"a" * 1_000_000 + b'"', 422),
    Value("a marked string", _body(MARKER), 422),
    Value("a formula", _body(f"=cmd|' /C {MARKER}'!A0"), 422),
    Value("a template", b'"{{7*7}}${7*7}%(zebra)s"', 422),
]

ENCODINGS = {
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "UTF-16, no mark": lambda body: body.decode().encode("utf-16-le"),
    "UTF-32": lambda body: body.decode().encode("utf-32-be"),
    "UTF-7": lambda body: b"+AHs-" + body[1:],
    "EBCDIC": lambda body: body.decode().encode("cp500"),
    "a NUL behind": lambda body: body + b"\0",
    "twice": lambda body: body * 2,
    "cut off": lambda body: body[:-1],
}


class RawRequest(NamedTuple):
    """What is sent over a socket, and the status of every response; none: the server waits, or closes."""

    name: str
    sent: bytes
    statuses: tuple[int, ...]


_SIZE = len(GOOD)
_MEDIA = b"Host: x\r\nContent-Type: application/json\r\n"
_LENGTH = b"Content-Length: %d\r\n" % _SIZE
_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (_SIZE, GOOD)
_NEXT = b"GET /zebra HTTP/1.1\r\nHost: x\r\n\r\n"  # to be smuggled in


def post(fields: bytes, body: bytes = GOOD, path: bytes = b"/predict") -> bytes:
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (path, _MEDIA, fields, body)


def get(target: bytes, fields: bytes = b"", method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, target, fields)


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


def _coded(value: bytes, name: bytes = b"Transfer-Encoding:") -> bytes:
    return post(b"%b%b\r\n" % (name, value), _CHUNKS)


LENGTHS = [
    RawRequest("a length too long", post(b"Content-Length: %d\r\n" % (_SIZE + 5)), ()),
    RawRequest("a length too short", post(b"Content-Length: %d\r\n" % (_SIZE - 1)), (400,)),
    RawRequest("a length too short, and a request", post(b"Content-Length: 0\r\n", _NEXT), (400, 404)),
    RawRequest("a negative length", post(b"Content-Length: -1\r\n"), (400,)),
    RawRequest("a length with a sign", post(b"Content-Length: +%d\r\n" % _SIZE), (400,)),
    RawRequest("a hexadecimal length", post(b"Content-Length: 0x5\r\n"), (400,)),
    RawRequest("a length with an underscore", post(b"Content-Length: 1_0\r\n"), (400,)),
    RawRequest("a length with a blank", post(b"Content-Length: 1 0\r\n"), (400,)),
    RawRequest("no length where it should be", post(b"Content-Length:\r\n"), (400,)),
    RawRequest("a superscript length", post(b"Content-Length: \xb2\r\n"), (400,)),
    RawRequest("a length of 20 digits", post(b"Content-Length: 99999999999999999999\r\n"), (413,)),
    RawRequest("a length of 5,000 digits", post(b"Content-Length: " + b"9" * 5000 + b"\r\n"), (400,)),
    RawRequest("the length twice", post(_LENGTH * 2), (400,)),
    RawRequest("two lengths", post(_LENGTH + b"Content-Length: 0\r\n"), (400,)),
    RawRequest("lengths in a list", post(b"Content-Length: %d, %d\r\n" % (_SIZE, _SIZE)), (400,)),
    RawRequest("the length a hop-by-hop header", post(b"Connection: content-length\r\n" + _LENGTH), (200,)),
]
SMUGGLING = [
    RawRequest("CL.TE", post(b"Content-Length: 99\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + _NEXT), (400,)),
    RawRequest("TE.CL", post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"22\r\n" + _NEXT), (400,)),
    RawRequest("TE.TE", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", _CHUNKS), (501,)),
    RawRequest("chunked twice", _coded(b" chunked, chunked"), (400,)),
    RawRequest("chunked, but not last", _coded(b" chunked, identity"), (400,)),
    RawRequest("identity", _coded(b" identity"), (400,)),
    RawRequest("identity, then chunked", _coded(b" identity, chunked"), (415,)),
    RawRequest("gzip, then chunked", _coded(b" gzip, chunked"), (415,)),
    RawRequest("xchunked", _coded(b" xchunked"), (501,)),
    RawRequest("chunked in quotes", _coded(b' "chunked"'), (501,)),
    RawRequest("a marked coding", _coded(b" zebra"), (501,)),
    RawRequest("no coding where it should be", _coded(b""), (501,)),
    RawRequest("CHUNKED", _coded(b" CHUNKED"), (200,)),
    RawRequest("a tab before chunked", _coded(b"\tchunked"), (200,)),
    RawRequest("a vertical tab before chunked", _coded(b"\x0bchunked"), (400,)),
    RawRequest("a blank before the colon", _coded(b" chunked", b"Transfer-Encoding :"), (400,)),
    RawRequest("an underscore", post(b"Transfer_Encoding: chunked\r\n" + _LENGTH), (200,)),
    RawRequest("folded", _coded(b"\r\n chunked"), (400,)),
    RawRequest("chunked in HTTP/1.0", _coded(b" chunked").replace(b"/1.1", b"/1.0", 1), (400,)),
    RawRequest("a chunk's extension", chunked(b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (_SIZE, GOOD)), (200,)),
    RawRequest("a line feed in it", chunked(b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (_SIZE, GOOD)), (400,)),
    RawRequest("an extension of 1 MB", chunked(b"%x;%b" % (_SIZE, b"a" * 1_000_000)), (400,)),
    RawRequest("a negative chunk", chunked(b"-5\r\n" + GOOD), (400,)),
    RawRequest("a chunk with a sign", chunked(b"+" + _CHUNKS), (400,)),
    RawRequest("a chunk with 0x", chunked(b"0x" + _CHUNKS), (400,)),
    RawRequest("a chunk with an underscore", chunked(b"0_" + _CHUNKS), (400,)),
    RawRequest("a chunk that the size does not fit", chunked(b"5\r\n" + GOOD), (400,)),
    RawRequest("a chunk without a size", chunked(b"\r\n" + GOOD), (400,)),
    RawRequest("a chunk of 2^80 bytes", chunked(b"1" + b"0" * 20 + b"\r\n" + GOOD), ()),
    RawRequest("chunks by line feeds", chunked(_CHUNKS.replace(b"\r\n", b"\n")), (400,)),
    RawRequest("a length in the trailer", chunked(_CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n"), (400,)),
    RawRequest("100,000 trailers", chunked(_CHUNKS[:-2] + b"A: b\r\n" * 100_000), (431,)),
    RawRequest("a GET with chunks, and a request", get(b"/livez", b"Transfer-Encoding: chunked\r\n") + _CHUNKS, (200,)),
    RawRequest("a GET with a body", get(b"/livez", b"Content-Length: %d\r\n" % len(_NEXT)) + _NEXT, (200,)),
]
LINES = [
    RawRequest("line feeds only", post(_LENGTH).replace(b"\r\n", b"\n"), (400,)),
    RawRequest("one line feed", post(b"A: b\n" + _LENGTH), (400,)),
    RawRequest("a carriage return in a value", post(b"A: b\rC: d\r\n" + _LENGTH), (400,)),
    RawRequest("a NUL in a value", post(b"A: b\0c\r\n" + _LENGTH), (400,)),
    RawRequest("a folded line", post(b"A: b\r\n c\r\n" + _LENGTH), (400,)),
    RawRequest("a blank before the first name", post(_LENGTH).replace(b"Host", b" Host", 1), (400,)),
    RawRequest("a blank before a colon", post(b"zebra : b\r\n" + _LENGTH), (400,)),
    RawRequest("a blank in a name", post(b"zebra A: b\r\n" + _LENGTH), (400,)),
    RawRequest("no name", post(b": b\r\n" + _LENGTH), (400,)),
    RawRequest("no colon", post(b"zebra\r\n" + _LENGTH), (400,)),
    RawRequest("10,000 headers", get(b"/livez", b"".join(b"A%d: b\r\n" % i for i in range(10_000))), (431,)),
    RawRequest("a header of 64 kB", get(b"/livez", b"A: " + b"b" * 65_536 + b"\r\n"), (431,)),
    RawRequest("a name of 64 kB", get(b"/livez", b"A" * 65_536 + b": b\r\n"), (431,)),
    RawRequest("no Host", b"GET /livez HTTP/1.1\r\n\r\n", (400,)),
    RawRequest("no Host, a long way round", b"GET /model HTTP/1.1\r\n\r\n", (400,)),
    RawRequest("no Host in HTTP/1.0", b"GET /livez HTTP/1.0\r\n\r\n", (200,)),
    RawRequest("two Hosts", get(b"/livez", b"Host: y\r\n"), (400,)),
    RawRequest(
        "contradicting schemes", get(b"/livez", b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"), (200,)
    ),
    RawRequest(
        "contradicting protocols", post(b"X-Forwarded-Proto: http\r\nX-Forwarded-Protocol: ssl\r\n" + _LENGTH), (200,)
    ),
    RawRequest("two schemes", post(b"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n" + _LENGTH), (200,)),
    RawRequest("a header that gunicorn trusts", get(b"/livez", b"SCRIPT_NAME: /zebra\r\nPATH_INFO: /x\r\n"), (200,)),
    RawRequest("bytes of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n", (400,)),
    RawRequest("every byte", bytes(range(256)) + b"\r\n\r\n", (400,)),
    RawRequest("a proxy's greeting", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + get(b"/livez"), (400,)),
    RawRequest("empty lines", b"\r\n" * 1000 + get(b"/livez"), (400,)),
]
STARTS = [
    RawRequest("CONNECT", get(b"zebra:80", method=b"CONNECT"), (405,)),
    RawRequest("CONNECT to a path", get(b"/predict", method=b"CONNECT"), (405,)),
    RawRequest("TRACE", get(b"/predict", b"X-A: zebra\r\n", method=b"TRACE"), (405,)),
    RawRequest("TRACE of /v1", get(b"/v1/models/animals", b"X-A: zebra\r\n", method=b"TRACE"), (405,)),
    RawRequest("TRACE of /v2", get(b"/v2", b"X-A: zebra\r\n", method=b"TRACE"), (405,)),
    RawRequest("OPTIONS of all", get(b"*", method=b"OPTIONS"), (204,)),
    RawRequest("OPTIONS of a star", get(b"/*", method=b"OPTIONS"), (404,)),
    RawRequest("GET of all", get(b"*"), (400,)),
    RawRequest("a method that is none", get(b"/predict", method=b"ZEBRA"), (405,)),
    RawRequest("a method in lower case", get(b"/livez", method=b"zebra"), (400,)),
    RawRequest("a method of signs", get(b"/livez", method=b"Z@BRA"), (400,)),
    RawRequest("a method of 5,000 letters", get(b"/livez", method=b"Z" * 5000), (414,)),
    RawRequest("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    RawRequest("HTTP/2 as one asks", b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", (400,)),
    RawRequest("HTTP/0.9", b"GET /livez\r\n\r\n", (400,)),
    RawRequest("HTTP/9.9", b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", (400,)),
    RawRequest("HTTP/zebra", b"GET /livez HTTP/zebra\r\nHost: x\r\n\r\n", (400,)),
    RawRequest("no target", b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    RawRequest("a blank in the target", get(b"/a zebra"), (400,)),
    RawRequest("an upgrade to a WebSocket", get(b"/livez", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), (426,)),
    RawRequest("an upgrade to HTTP/2", get(b"/livez", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"), (200,)),
]
PATHS = [
    RawRequest("a NUL in a path", get(b"/model%00"), (404,)),
    RawRequest("up and out", get(b"/../../etc/passwd"), (404,)),
    RawRequest("up and out, escaped", get(b"/%2e%2e/%2e%2e/etc/passwd"), (404,)),
    RawRequest("up and out, escaped twice", get(b"/%252e%252e/etc/passwd"), (404,)),
    RawRequest("up and out by backslashes", get(b"/..\\..\\etc\\passwd"), (404,)),
    RawRequest("up and out by escaped ones", get(b"/..%5c..%5cetc"), (404,)),
    RawRequest("up and out of a model", get(b"/v2/models/..%2f..%2fetc"), (404,)),
    RawRequest("up and out of a version", get(b"/v1/models/animals/versions/..%2f1"), (400,)),
    RawRequest("another server", get(b"//zebra/"), (404,)),
    RawRequest("two slashes within", get(b"/v1//models/animals"), (400,)),
    RawRequest("two slashes within /v2", get(b"/v2//models/animals"), (404,)),
    RawRequest("a backslash first", get(b"\\zebra"), (400,)),
    RawRequest("raw UTF-8", get("/zébra".encode()), (400,)),
    RawRequest("a raw byte", get(b"/\xff"), (400,)),
    RawRequest("escapes that are none", get(b"/%zz%1"), (404,)),
    RawRequest("an escaped line", get(b"/x%0d%0aSet-Cookie:%20zebra"), (404,)),
    RawRequest("an escaped line in a model", get(b"/v2/models/x%0d%0aSet-Cookie:%20zebra"), (404,)),
    RawRequest("no model", get(b"/v2/models/zebra"), (404,)),
    RawRequest("no version", get(b"/v1/models/animals/versions/zebra"), (404,)),
    RawRequest("a script", get(b"/%3Cscript%3Ezebra%3C/script%3E"), (404,)),
    RawRequest("3,000 letters", get(b"/" + b"a" * 3000), (404,)),
    RawRequest("100,000 letters", get(b"/" + b"a" * 100_000), (414,)),
    RawRequest("a fragment", get(b"/livez#zebra"), (404,)),
    RawRequest("no slash", get(b"livez"), (400,)),
    RawRequest("a query of markers", get(b"/livez?zebra=zebra"), (200,)),
]
IDS = [
    RawRequest("an id on two lines", get(b"/livez", b"X-Request-ID: a\r\n Set-Cookie: zebra\r\n"), (400,)),
    RawRequest("an id with a carriage return", get(b"/livez", b"X-Request-ID: a\rSet-Cookie: zebra\r\n"), (400,)),
    RawRequest("an id with a line feed", get(b"/livez", b"X-Request-ID: a\nSet-Cookie: zebra\r\n"), (400,)),
    RawRequest("an id with an escaped line", get(b"/livez", b"X-Request-ID: a%0d%0azebra\r\n"), (200,)),
    RawRequest("an id in Latin-1", get(b"/livez", b"X-Request-ID: zebra\xe9\r\n"), (200,)),
    RawRequest("two ids", get(b"/livez", b"X-Request-ID: zebra\r\nX-Request-ID: zebra\r\n"), (200,)),
    RawRequest("an id of 8,000 letters", get(b"/livez", b"X-Request-ID: " + b"zebra" * 1600 + b"\r\n"), (200,)),
]

BAD_AUTHORITIES = [
    b"zebra zebra",
    b"zebra:80 zebra:80",
    b'[]:"<zebra>',
    b"user@zebra",
    b"user:word@zebra",
    b"zebra/x",
    b"zebra?x",
    b"zebra#x",
    b"zebra\\x",
    b"zebra:99999",
    b"zebra:123456",
    b"zebra:8o",
    b"zebra:-1",
    b"zebra:80:80",
    b"zebra%zz",
    b":80",
    b"[::1",
    b"::1",
    b"[::zebra]",
    b"[::1]80",
    b"z\xe9bra",
    "z\u00e9bra".encode(),
]
"""Values of Host, and authorities of a request target, that are invalid (RFC 9110, section 7.2; RFC 3986)."""
HOSTS = [
    RawRequest(f"{method.decode()} with Host {host!r}", b"%b HTTP/1.1\r\nHost: %b\r\n%b" % (method, host, rest), (400,))
    for host in BAD_AUTHORITIES
    for method, rest in (
        (b"GET /model", b"\r\n"),
        (b"POST /predict", b"Content-Type: application/json\r\n%b\r\n%b" % (_LENGTH, GOOD)),
    )
]
TARGETS = [
    RawRequest("an absolute target", post(_LENGTH, path=b"http://zebra/predict"), (200,)),
    RawRequest("an absolute target without a path", get(b"http://zebra"), (200,)),
    RawRequest("an absolute target with a query only", get(b"http://zebra?zebra=http://zebra/"), (200,)),
    RawRequest("an absolute target with port and query", get(b"HTTP://[::1]:80/readyz?zebra=zebra"), (200,)),
    RawRequest("an absolute target of https", post(_LENGTH, path=b"https://zebra/v1/models/zebra:predict"), (404,)),
    RawRequest("an absolute target of another scheme", get(b"ftp://zebra/livez"), (400,)),
    RawRequest("an absolute target without a scheme", get(b"://zebra/livez"), (400,)),
    RawRequest("an absolute target without a host", get(b"http:///livez"), (400,)),
    RawRequest("a path before a scheme", get(b"livez/http://zebra"), (400,)),
    RawRequest("an absolute target with half an escape", get(b"http://zebra/%e"), (404,)),
    RawRequest("an absolute target, no Host", b"GET http://zebra/livez HTTP/1.1\r\n\r\n", (400,)),
    RawRequest("an absolute target, a bad Host", b"GET http://x/livez HTTP/1.1\r\nHost: @\r\n\r\n", (400,)),
    *(
        RawRequest(f"an absolute target at {authority!r}", post(_LENGTH, path=b"http://%b/predict" % authority), (400,))
        for authority in BAD_AUTHORITIES
        if authority not in {b"zebra/x", b"zebra?x"}  # there the path or the query begins
    ),
]
STREAMS = LENGTHS + SMUGGLING + LINES + STARTS + HOSTS + TARGETS + PATHS + IDS


def exchange(port: int, row: RawRequest) -> tuple[list[int], bytes]:
    """The statuses and the bytes of all responses; waits a moment for one more than expected."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        try:
            client.sendall(row.sent)
            while True:
                if len(_statuses(received)) >= len(row.statuses):
                    client.settimeout(0.1 if row.statuses else 0.5)
                chunk = client.recv(65_536)
                if not chunk:
                    break
                received += chunk
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return _statuses(received), received


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]
