"""From characters to syntax: tokens, macros, conditions of the preprocessor, and the C that is left."""
