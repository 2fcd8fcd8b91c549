"""The simulation's tests, and its command line: `python -m tests.sim --seed N`."""
