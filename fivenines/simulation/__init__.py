"""The whole bundled store in one process and in virtual time: one seed, one history, one bug report."""
