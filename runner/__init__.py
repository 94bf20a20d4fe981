"""The running of a run: what is asked of which model, how far, by whom, and what the answers are. It prints nothing."""
