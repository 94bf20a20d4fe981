"""What writes certificates: the text of a proof, from lemmas or from a complete exploration."""
