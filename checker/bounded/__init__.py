"""Bounded model checking with Z3: a system unrolled, step by step."""
