"""The scoring route of custom containers on Azure Machine Learning's online endpoints.

Source: learn.microsoft.com/azure/machine-learning, "Use a custom container to deploy a model to an online endpoint" and
"Debug scoring scripts by using the Azure Machine Learning inference HTTP server". The probes have routes of their own
already: ``/livez`` and ``/readyz``, or ``/``, as that server has it. docs/clouds.md shows how to deploy.
"""

from service.http.errors import BadInstancesError, NotJsonError, UnacceptableError
from service.http.messages import Request, Response
from service.http.routing import Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import PerModel
from service.protocols.clouds.json_rows import INSTANCES, SPLIT, read_json
from service.protocols.inference import predict
from service.protocols.native_documents import NativeDocuments

PREDICT_PATH = "/score"

_declare = Declare(Protocol.AZUREML, "azureml_")


class AzureMl:
    """The scoring route."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._documents = PerModel(NativeDocuments)

    @_declare(
        "POST",
        PREDICT_PATH,
        "Prediction | Predictions",
        accepts="OneRow | ServingRows | AzureData | AzureTable",
        errors=[NotJsonError, BadInstancesError, UnacceptableError],
        on_event_loop=True,
        inference=True,
        of_default_model=True,
    )
    def score(self, request: Request) -> Response:
        """Predict rows in `instances` or `data`, or a table in `input_data`."""
        model, validator, _ = self._catalog.select(request)
        given = read_json(request, model, validator, (INSTANCES, "data", SPLIT))
        prediction = predict(model, given.values, request)
        documents = self._documents.of(model)
        return Response(200, documents.row(prediction) if given.is_single else documents.rows(prediction))
