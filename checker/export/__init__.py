"""A question in the formats of other checkers, so that they can disagree with ours."""
