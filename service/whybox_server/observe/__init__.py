"""Metrics and logs: they subscribe to the engine's events, and the engine knows neither."""
