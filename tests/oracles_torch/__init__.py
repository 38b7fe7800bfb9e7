"""Gradients of real exports against torch itself. Needs the `oracles` extra; skipped without it."""
