"""The one append-only account of everything: revisions, audit log and index outbox are views on it."""
