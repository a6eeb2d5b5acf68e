"""How handlers declare routes, and what is derived from the declarations."""

import pytest

from service.http.errors import NotFoundError
from service.http.messages import Request, Response
from service.http.routing import Declare, Protocol, handlers_of, protocol_finder, routes_of

declare = Declare(Protocol.OIP, prefix="v9_")


class Part:
    """A part with two handlers for three routes, and a method that handles none."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body

    @declare("GET", "/v9/{model}[/versions/{version}]", "Status", errors=[NotFoundError], public=True)
    def model_status(self, _: Request) -> Response:
        """What the model is.

        The model is described
        in detail.
        """
        return Response(200, self.body)

    @declare("POST", "/v9/run", {"text/csv": ["string"]}, accepts="Row | Rows", more={202: {}})
    def run(self, _: Request) -> Response:
        """Run it."""
        return Response(202, self.body)

    def helper(self) -> None:
        """No handler."""


def test_routes_are_those_of_the_decorated_methods() -> None:
    """In the order of their definition, each with the protocol of its decorator."""
    routes = routes_of(Part)
    assert [(route.method, route.path) for route in routes] == [
        ("GET", "/v9/{model}"),
        ("GET", "/v9/{model}/versions/{version}"),
        ("POST", "/v9/run"),
    ]
    assert {route.protocol for route in routes} == {Protocol.OIP}
    assert routes_of(object) == []


def test_operation_is_described_by_its_handler() -> None:
    """The method's name with the prefix; the docstring's first line without the full stop, and the rest of it."""
    of_model, of_version, run = routes_of(Part)
    assert (of_model.name, of_model.summary) == ("v9_model_status", "What the model is")
    assert (of_version.name, of_version.summary) == ("v9_model_version_status", "What a version of the model is")
    assert of_model.description == of_version.description == "The model is described\nin detail."
    assert (run.name, run.summary, run.description) == ("v9_run", "Run it", "")


def test_content_is_json_unless_a_media_type_is_declared() -> None:
    """A string names JSON schemas, separated by ``|``; a mapping names media types."""
    status, _, run = routes_of(Part)
    assert status.responses == {200: {"application/json": ["Status"]}}
    assert status.request == {}
    assert run.request == {"application/json": ["Row", "Rows"]}
    assert run.responses == {200: {"text/csv": ["string"]}, 202: {}}


def test_further_fields_are_declared_by_keyword() -> None:
    """Each has its default otherwise."""
    status, _, run = routes_of(Part)
    assert (status.public, status.errors) == (True, [NotFoundError])
    assert (run.public, run.errors, run.on_event_loop, run.inference) == (False, (), False, False)
    with pytest.raises(TypeError, match="colour"):
        declare("GET", "/x", "X", colour="red")(lambda: None)


def test_handlers_are_bound_to_their_object() -> None:
    """Routes of the same class are the same keys for every object of it."""
    first, second = handlers_of(Part(b"1")), handlers_of(Part(b"2"))
    assert list(first) == list(second) == routes_of(Part)
    request = Request("GET", "/v9/x", {}, bytes)
    assert [handler(request).body for handlers in (first, second) for handler in handlers.values()] == [
        *[b"1"] * 3,
        *[b"2"] * 3,
    ]


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v9/nope", Protocol.OIP),
        ("/v9", Protocol.OIP),
        ("//v9//x", Protocol.OIP),
        ("/v99/x", Protocol.SERVICE),
        ("/x/v9", Protocol.SERVICE),
        ("/", Protocol.SERVICE),
        ("", Protocol.SERVICE),
    ],
)
def test_protocol_of_an_unknown_path_is_that_of_its_first_segment(path: str, protocol: Protocol) -> None:
    """Empty segments do not count."""
    assert protocol_finder(routes_of(Part))(path) is protocol
