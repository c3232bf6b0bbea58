"""The archive: a reviewed case is sealed, its evidence locked, and nothing of it changes any more."""
