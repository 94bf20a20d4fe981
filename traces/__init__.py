"""What a running kernel did: traces of events, recorded on an unmodified kernel, read back strictly, and judged by themselves."""
