"""Whole runs in one process under a virtual clock: one seed gives market, faults, delays and deaths.

Rule: what is simulated are the clock, the network and the moments of death; engine, loop, broker, feed, venue
and journal are the ones of every other run.
"""
