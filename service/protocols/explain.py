"""POST /explain: how the network came to the prediction of one row."""

from service.arrays import Array
from service.http.errors import Fault, NotExplainableError, NotJsonError, UnacceptableError
from service.http.media_types import require_json
from service.http.messages import Request, Response
from service.http.routing import Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.validation import Validator
from service.protocols.explanations import Explanations
from service.protocols.inference import predict

_ONE_ROW = Fault("instances", "form", "send `features`: only one row can be explained per request")

_declare = Declare(Protocol.NATIVE)


class Explain:
    """Explains the prediction of one row."""

    def __init__(self, catalog: Catalog, explanations: Explanations) -> None:
        self._catalog = catalog
        self._explanations = explanations

    @_declare(
        "POST",
        "[/models/{model}]/explain",
        "Explanation",
        accepts="OneRow",
        errors=[NotJsonError, UnacceptableError, NotExplainableError],
    )
    def explain(self, request: Request) -> Response:
        """Explain how the network computes the prediction of one row."""
        model, validator, _ = self._catalog.select(request)
        require_json(request)
        rows = _parse_one_row(validator, request)
        return Response(200, self._explanations.explain(model, predict(model, rows, request)))


def _parse_one_row(validator: Validator, request: Request) -> Array:
    """The row to explain, [1, features]."""
    try:
        rows, is_single = validator.parse(request.read(), request.context)
    except UnacceptableError as error:
        if error.faults[0].field.partition("[")[0] != _ONE_ROW.field:
            raise
    else:
        if is_single:
            return rows
    raise UnacceptableError([_ONE_ROW])
