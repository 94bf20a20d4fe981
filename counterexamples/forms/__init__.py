"""What a counterexample looks like: one renderer a file, each a pure function of the document; a page that holds another form says so."""
