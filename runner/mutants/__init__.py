"""Mutants of the kernel C: what the checker says of small faults, one at a time."""
