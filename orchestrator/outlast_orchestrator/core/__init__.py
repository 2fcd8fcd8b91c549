"""Decisions and the words they are made of. Pure: no I/O, no clock, no randomness."""
