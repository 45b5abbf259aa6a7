"""Benchmarks: each against an alternative in the same run, as a ratio; absolute figures of shared machines mean little."""
