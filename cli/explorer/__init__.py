"""A model explored by hand: one session without a face (`session`), and its two faces, a terminal and a page."""
