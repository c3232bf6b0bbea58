"""Cases: an objection from the moment it is raised until it lies in the archive."""
