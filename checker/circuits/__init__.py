"""Engines over circuits and SAT: and-inverter graphs, k-induction, PDR."""
