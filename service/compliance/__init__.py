"""Watching over readings: alerts, locked accounts, revealed fields, and what owners are told of them."""
