"""Arguments of many lemmas: asked, made small, and repaired where one is missing."""
