"""The user's own classes and functions, which a model's file only names."""

import importlib
from collections.abc import Sequence
from typing import Any

from models.adoption.errors import AdoptionError, summarize
from models.tensorflow_setup import keras


def import_custom_objects(names: Sequence[str]) -> dict[str, Any]:
    """Import what ``names`` say, each as ``module:name``, by the names that Keras looks for. This runs their code.

    Raises:
        AdoptionError: a name has another form, or its module or object is not there.
    """
    objects: dict[str, Any] = {}
    for name in names:
        module_name, _, attribute = name.partition(":")
        if not (module_name and attribute):
            raise AdoptionError(f"--custom {name} must have the form module:name, as in --custom layers:Attention")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except AttributeError:
            raise AdoptionError(f"--custom {name}: module {module_name} has no {attribute}: correct the name") from None
        except Exception as error:  # noqa: BLE001 (the user's module can raise anything)
            raise AdoptionError(
                f"--custom {name}: module {module_name} cannot be imported ({summarize(error)}): "
                "run the command in the folder of the module, or set PYTHONPATH"
            ) from None
        registered = keras.saving.get_registered_name(found)
        objects |= {attribute: found, getattr(found, "__name__", attribute): found, registered: found}
    return objects
