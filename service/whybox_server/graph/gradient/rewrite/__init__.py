"""Models that are not made of standard operators on real numbers, said in those.

One module per family; importing it fills the table.
"""

from whybox_server.graph.gradient.rewrite import (
    quantised,
    recurrent,
    sklearn,
    standard,
    svm,
    vectors,
    vendor,
    vendor_attention,
)
from whybox_server.graph.gradient.rewrite.apply import rewritten
from whybox_server.graph.gradient.rewrite.table import REWRITES, Rewrite, rewrites

__all__ = [
    "REWRITES",
    "Rewrite",
    "quantised",
    "recurrent",
    "rewrites",
    "rewritten",
    "sklearn",
    "standard",
    "svm",
    "vectors",
    "vendor",
    "vendor_attention",
]
