"""A world with a virtual clock, a seed and honest faults, in which the real code runs."""
