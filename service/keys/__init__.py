"""Data keys, one per customer, and the sealed sections that stand under them."""
