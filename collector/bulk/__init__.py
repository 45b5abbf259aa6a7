"""The columnar lane: counters by the million, beside the batches of rich readings."""
