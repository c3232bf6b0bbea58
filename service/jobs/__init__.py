"""Due work with leases: what must happen after a commit, surely and perhaps more than once."""
