"""Explicit states: exploration, random runs, where nobody can go on, the plainest run."""
