"""The golden-row check: a network must give the outputs that its manifest recorded after training."""

from collections.abc import Iterable

import numpy as np

from models.bundle import Bundle, BundleError
from models.golden import find_golden_mismatch
from service.inference.engine_protocol import Engine


def require_golden_outputs(bundle: Bundle, engine: Engine, batch_sizes: Iterable[int] = ()) -> None:
    """Run the golden rows through an engine, all at once and then repeated up to each of the batch sizes.

    A row's output must not depend on the size of its batch; LiteRT plans its memory anew for each size.

    Raises:
        BundleError: the network lacks a layer, or an output of one differs from the manifest.
    """
    manifest = bundle.manifest
    names = [layer.name for layer in manifest.layers]
    for name in names:
        if name not in engine.layers:
            raise BundleError(f"the network in {bundle.folder} has no layer {name}: train the model again")
    rows = manifest.golden_rows
    for size in (len(rows), *batch_sizes):
        outputs = engine.run(np.resize(rows, (size, rows.shape[1])), names)
        if mismatch := find_golden_mismatch(manifest, outputs, rows=size):
            among = f", in a batch of {size}," if size != len(rows) else ""
            raise BundleError(
                f"{bundle.folder} fails its self-test: for golden row {mismatch.row}{among} the output of layer "
                f"{mismatch.layer} differs from the manifest: copy the bundle again, or train the model again"
            )
