"""The outputs of a model as TensorFlow Serving writes them: as the model itself gives them, by row or by column.

Source: tensorflow.org/tfx/serving/api_rest, "Predict API", "Response format".
"""

import orjson

from service.arrays import Prediction
from service.http import strict_json
from service.http.messages import Response
from service.inference.model import Model


def outputs_response(form: str, model: Model, prediction: Prediction) -> Response:
    """The response to a request with rows in ``instances`` or ``inputs``."""
    if form == "instances":
        return Response(200, b'{"predictions":%b}' % by_row(model, prediction))
    return Response(200, b'{"outputs":%b}' % _by_column(model, prediction))


def by_row(model: Model, prediction: Prediction) -> bytes:
    """A list with the only output of each row, or an object with each of its outputs by name."""
    by_name = _raw_decimals(model, prediction)
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    rows = zip(*(decimals[2:-2].split(b"],[") for decimals in by_name.values()), strict=True)
    template = b"{%b}" % b",".join([orjson.dumps(name).replace(b"%", b"%%") + b":[%b]" for name in by_name])
    return b"[%b]" % b",".join([template % row for row in rows])


def _by_column(model: Model, prediction: Prediction) -> bytes:
    """The only output of all rows, or an object with each output by name."""
    by_name = _raw_decimals(model, prediction)
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    return b"{%b}" % b",".join([b"%b:%b" % (orjson.dumps(name), decimals) for name, decimals in by_name.items()])


def _raw_decimals(model: Model, prediction: Prediction) -> dict[str, bytes]:
    """Each output as the model itself gives it, [rows, units], by name."""
    return {head.head.name: strict_json.shortest_decimals(model.raw_output(head, prediction)) for head in model.heads}
