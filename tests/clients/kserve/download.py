"""Downloads a model with KServe's own storage initializer: ``python download.py URI FOLDER``."""

import sys

from kserve_storage import Storage

Storage.download_files([sys.argv[1]], [sys.argv[2]])
