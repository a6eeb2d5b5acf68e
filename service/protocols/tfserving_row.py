"""TensorFlow Serving's REST API on the fast path."""

from collections.abc import Mapping

import orjson

from service.arrays import Prediction
from service.http import strict_json
from service.http.messages import Response
from service.inference.model import Model
from service.protocols.row_codec import GivenRow
from service.protocols.tfserving_inputs import inputs_of
from service.protocols.tfserving_outputs import outputs_response


class TfServingRow:
    """A row in ``instances``, and its output in ``predictions``, where the network's output has it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._inputs = inputs_of.of(model)
        self._is_served = not model.raw_layers
        self._is_whole = (
            self._is_served and len(model.heads) == 1 and model.heads[0].raw_columns == model.heads[0].columns
        )

    def read(self, headers: Mapping[str, str], body: bytes) -> GivenRow | None:
        if "content-encoding" in headers or not self._is_served:
            return None
        document = orjson.loads(body)
        if type(document) is dict and len(document) == 1:
            instances = document.get("instances")
            if type(instances) is list and len(instances) == 1:
                row = instances[0]
                if type(row) is dict and (values := self._inputs.unwrap_list(row)):
                    return values, 1 + len(row), None
                return row, 1, None
        return None

    def write(self, form: None, prediction: Prediction) -> Response:
        del form
        if self._is_whole:
            return Response(200, b'{"predictions":%b}' % strict_json.shortest_decimals(prediction.outputs))
        return outputs_response("instances", self._model, prediction)
