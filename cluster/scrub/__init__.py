"""Scrub: do all replicas of a group, and its archive, hold the same rows; and the repair of those that do not."""
