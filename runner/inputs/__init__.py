"""What a run is about: kernel C or a tree, a change, the properties and goals."""
