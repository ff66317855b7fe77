"""Whole runs under a virtual clock: the same bytes for the same seed, and nothing violated whatever comes."""
