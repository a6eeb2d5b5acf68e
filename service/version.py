"""The one place that says which Menagerie this is; pyproject.toml reads it, and a test compares the image's label."""

VERSION = "0.1.0"
