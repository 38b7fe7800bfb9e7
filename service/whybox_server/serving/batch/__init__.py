"""Full batches out of the rows of many explanations: fair, cancellable, and as large as pays."""

from whybox_server.serving.batch.batcher import Batcher, Door
from whybox_server.serving.batch.stats import Backlog, LaneStats

__all__ = ["Backlog", "Batcher", "Door", "LaneStats"]
