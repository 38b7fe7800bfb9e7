"""Layer-wise relevance propagation and deep Taylor decomposition, as tables of the differentiator.

A package of its own that a build can leave out: a patent on the method exists (EP 3271863 B1), and whether
to ship it is the deployer's decision. Nothing outside imports it but the registry of tables, which works
without it.
"""

from whybox_server.graph.lrp.composites import COMPOSITES
from whybox_server.graph.lrp.options import deep_taylor, lrp
from whybox_server.graph.lrp.rules import RULES

__all__ = ["COMPOSITES", "RULES", "deep_taylor", "lrp"]
