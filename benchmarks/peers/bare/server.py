"""The lower bound of a server in Python: body, network, JSON; no validation, no limits, no metrics, no errors."""

import asyncio
import re
import sys
from typing import cast

import orjson
from classifier import Classifier

classifier = Classifier()
find_length = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search


class Predict(asyncio.Protocol):
    """Every request is taken for a POST of one row, whatever its path."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = find_length(head) if end else None
        if length and len(body) >= int(length[1]):
            self.received = b""
            answer = orjson.dumps(classifier.classify(orjson.loads(body)["features"]))
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(answer), answer)
            )


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Predict, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
