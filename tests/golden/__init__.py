"""The golden run and its figures."""
