"""What the database remembers of the installation that it belongs to: storage format and keyring."""
