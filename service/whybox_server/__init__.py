"""The explanation server. `app` is its composition root; `core` its vocabulary."""
