"""What can happen: the machine, the software that runs on it, and the scenarios that bring them together."""
