"""What a cloud platform says in the environment, translated into the service's own variables.

SageMaker runs the image with the argument `serve`, which sets MENAGERIE_PLATFORM. Vertex AI and Azure Machine Learning
are recognised by variables that only their model servers get. Sources: as in `service/protocols/clouds`.

Only the standard library is imported: every start waits for this module.
"""

import re
from collections.abc import MutableMapping
from pathlib import Path

from service.server.model_folders import find_models

_SAGEMAKER_MODEL = "/opt/ml/model"
_DEFAULT_PORT = "8080"  # of SageMaker, and of Vertex AI unless the model says otherwise
_PORT = re.compile(r"[0-9]{1,5}")
ROUTE = r"(/[A-Za-z0-9._~:-]+)+"  # as in the settings, whose imports a start should not wait for
_VERTEX_ROUTES = {
    "AIP_HEALTH_ROUTE": "MENAGERIE_VERTEX_HEALTH_ROUTE",
    "AIP_PREDICT_ROUTE": "MENAGERIE_VERTEX_PREDICT_ROUTE",
}
_Environment = MutableMapping[str, str]


class _CloudError(Exception):
    """The message is one line with the variable and the remedy."""


def apply(environment: _Environment) -> str | None:
    """Set what the platform's variables say: platform, port, model and routes. It may be called again.

    One line if a variable cannot be followed, None if all is well.
    """
    platform = environment.get("MENAGERIE_PLATFORM") or _recognise(environment)
    adapters = {"sagemaker": _apply_sagemaker, "vertex": _apply_vertex, "azureml": _apply_azureml}
    if platform not in adapters:  # "none", or what the settings refuse
        return None
    environment["MENAGERIE_PLATFORM"] = platform
    try:
        adapters[platform](environment)
    except _CloudError as error:
        return str(error)
    return None


def _recognise(environment: _Environment) -> str:
    if "AIP_HTTP_PORT" in environment or "AIP_PREDICT_ROUTE" in environment:
        return "vertex"
    return "azureml" if environment.get("AZUREML_MODEL_DIR") else "none"


def _apply_sagemaker(environment: _Environment) -> None:
    _set_port(environment, "SAGEMAKER_BIND_TO_PORT")
    folder = Path(_SAGEMAKER_MODEL)
    if folder.is_dir() and any(folder.iterdir()):  # else the model of the image
        _set_model(environment, folder, _SAGEMAKER_MODEL)


def _apply_vertex(environment: _Environment) -> None:
    _set_port(environment, "AIP_HTTP_PORT")
    for name, setting in _VERTEX_ROUTES.items():
        if route := environment.get(name):
            if not re.fullmatch(ROUTE, route):
                raise _CloudError(f"{name} is invalid ({route!r}): set it to a path such as /predict")
            environment[setting] = route
    uri = environment.get("AIP_STORAGE_URI", "").removeprefix("file://")
    if uri.startswith("gs://") and not _has_model(environment):
        raise _CloudError(
            f"AIP_STORAGE_URI is {uri}, but this image does not download models: put the model into an image of your "
            "own and upload that without an artifact URI, or mount it and set MENAGERIE_MODEL_DIR (docs/clouds.md)"
        )
    if uri:
        _set_model(environment, Path(uri), "AIP_STORAGE_URI")


def _apply_azureml(environment: _Environment) -> None:
    if folder := environment.get("AZUREML_MODEL_DIR"):
        _set_model(environment, Path(folder), "AZUREML_MODEL_DIR")


def _set_port(environment: _Environment, name: str) -> None:
    """The port that the platform names, which takes precedence; else `PORT`, else the platform's default."""
    port = environment.get(name)
    if port and not _PORT.fullmatch(port):
        raise _CloudError(f"{name} is invalid ({port!r}): set it to a port")
    environment["PORT"] = port or environment.get("PORT") or _DEFAULT_PORT


def _has_model(environment: _Environment) -> bool:
    """Whether settings name the folder of a model; then they decide."""
    return bool(environment.get("MENAGERIE_MODEL_DIR") or environment.get("MENAGERIE_MODEL_STORE"))


def _set_model(environment: _Environment, folder: Path, source: str) -> None:
    """Serve the model in a folder, unless settings name another one.

    The folder is a bundle, or has one as <version>, <name>/<version> or <store>/<name>/<version>, as an archive of it
    does that was made in a folder further up.
    """
    if _has_model(environment):
        return
    name = environment.get("MENAGERIE_MODEL_NAME")
    models = find_models(folder)
    if name and len(models) > 1:
        models = {each: home for each, home in models.items() if each == name}
    if not models:
        wanted = f"no model {name}" if name else "no model"
        raise _CloudError(f"{wanted} in {folder} ({source}): it must be a bundle, or contain one (docs/clouds.md)")
    if len(models) > 1:
        raise _CloudError(
            f"{source} has the models {', '.join(sorted(models))}: set MENAGERIE_MODEL_NAME to one of them"
        )
    ((found, home),) = models.items()
    environment["MENAGERIE_MODEL_DIR"] = str(home)
    environment.setdefault("MENAGERIE_MODEL_NAME", found)
