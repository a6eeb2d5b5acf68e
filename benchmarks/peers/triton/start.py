"""Start the Triton server from the nvidia-pytriton wheel on a model repository, without PyTriton."""

import os
import shutil
import sys
from pathlib import Path

from pytriton.utils.distribution import get_libs_path, get_root_module_path, get_stub_path

triton = get_root_module_path() / "tritonserver"
backends = triton / "backends"
shutil.copy(get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}"), backends / "python")
os.environ["LD_LIBRARY_PATH"] = str(get_libs_path())
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where the stub looks for its packages
server = triton / "bin" / "tritonserver"
os.execv(server, [server, f"--backend-directory={backends}", *sys.argv[1:]])  # noqa: S606 (no shell is wanted)
