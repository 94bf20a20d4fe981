"""What a violation comes from, found by executing other orders of its steps and other texts, and said in words."""
