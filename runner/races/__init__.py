"""Claimed races: a diagram of two columns becomes an order of steps, and somebody looks whether there is a run that contains it."""
