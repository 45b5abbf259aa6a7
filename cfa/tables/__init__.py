"""A million tables in arrays: windows, evidence, verdicts and roll-ups of what the counters' feed tells."""
