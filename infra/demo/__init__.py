"""Demo data that looks like work: an invented manufacturer, its people, customers, cases and scans.

Pure and deterministic: nothing here asks the time, the network or the database.
"""
