"""Checks a bucket before jobs trust it, and says what to mend."""
