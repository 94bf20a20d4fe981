"""The front door: parses, introduces the rooms to each other, prints, and chooses the exit code."""
