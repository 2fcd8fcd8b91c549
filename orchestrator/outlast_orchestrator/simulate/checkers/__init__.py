"""The checkers: one invariant a file, each judging what really happened."""
