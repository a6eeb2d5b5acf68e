"""The one place that says which Menagerie this is; pyproject.toml repeats it and a test compares."""

VERSION = "0.1.0"
