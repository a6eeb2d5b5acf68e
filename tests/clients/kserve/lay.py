"""A model laid out by KServe's own storage initialiser: ``python lay.py URI FOLDER``."""

import sys

from kserve_storage import Storage

Storage.download_files([sys.argv[1]], [sys.argv[2]])
