"""The engines behind `search.port`."""
