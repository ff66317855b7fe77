"""Whole runs: real processes, real files."""
