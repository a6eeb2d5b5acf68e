"""One request in, one response out: the adapters, the pipeline and the routes."""

from service.app.flask_app import create_app

__all__ = ["create_app"]
