"""Benchmarks: the product beside bare servers that do the same work by hand. `python -m tests.bench`."""
