"""What went wrong: one document a counterexample (`document`), and pure functions of it: words, text, graphs and pictures."""
