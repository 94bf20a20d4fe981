"""One question about one model: surveyed, put to engines, certified, and its answer as a record."""
