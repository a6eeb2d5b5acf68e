"""One run of the network for a request of any protocol."""

from collections.abc import Sequence

from service.arrays import Array, Prediction
from service.http.errors import Fault, UnacceptableError
from service.http.messages import Request
from service.inference.model import Model

_OVERFLOW = Fault(
    "", "not_finite", "the network's output is not finite for these values: send values like those it was trained on"
)


def predict(model: Model, rows: Array, request: Request, layers: Sequence[str] = ()) -> Prediction:
    """Predict the rows, [rows, features], and note the prediction in the request's context.

    Raises:
        UnacceptableError: the network overflowed, and there are no bounds that should have prevented it.
        ArithmeticError: it overflowed although all values are within the bounds.
    """
    try:
        request.context.prediction = prediction = model.predict(rows, layers)
    except ArithmeticError:
        if model.has_bounds:
            raise
        raise UnacceptableError([_OVERFLOW]) from None
    request.context.mark("infer")
    return prediction
