"""DeepLIFT (Shrikumar et al. 2017): multipliers that say why a score is not that of a reference.

Their sum, each times its input's difference, is the difference of the scores. One file per kind of
operator: one value at a time, products, winners, normalisations; and the RevealCancel rule.
"""

from whybox_server.graph.gradient.tables.deeplift.composite import DEEPLIFT, RULE_NAMES

__all__ = ["DEEPLIFT", "RULE_NAMES"]
