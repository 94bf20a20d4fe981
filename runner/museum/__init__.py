"""Real bugs and hazards, one folder each: the change, what the checker must say about it, and the story."""
