"""Remote write, out: the merged observations as cumulative series, pushed to whoever speaks Prometheus remote write 1.0."""
