"""Customers: who they are, how they are reached, whose they are."""
