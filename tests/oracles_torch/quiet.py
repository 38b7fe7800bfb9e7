"""torch and what stands on it, imported and used without their warnings, which are errors here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

# torchvision from the package index is linked against CUDA; beside a CPU torch it imports all the same
# once the operators exist whose kernels it could not load.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for schema in SCHEMAS:
    with suppress(RuntimeError):  # a CPU build of torchvision brings its own
        LIBRARY.define(schema)


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters and configurations say a lot."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
