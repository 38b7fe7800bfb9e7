"""Many instances of one model explained under one budget, and what they say together.

    from whybox.audit import Order, Table, audit

    audit(Order("net.onnx", {"lime": {}}), Table.read("people.csv"), "report-2026")

An audit lives in a folder: a journal of everything that was found, the answers that the model gave, and
in the end a report. Whatever stops it, the same call with `resume=True` goes on where it was.
"""

from __future__ import annotations

from whybox.audit.order import Order
from whybox.audit.run import Outcome, audit
from whybox.audit.table import Table

__all__ = ["Order", "Outcome", "Table", "audit"]
