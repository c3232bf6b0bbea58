"""Why somebody sees what of a record: for those who watch over rights. No value of the record is shown."""
