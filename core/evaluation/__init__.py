"""Terms on plain values, without a solver: one state at a time, or many at once, as vectors."""
