"""A whole run: planned, spread over workers, kept in a cache, accounted for."""
