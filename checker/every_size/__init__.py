"""Questions for every size: induction over uninterpreted sorts, and how it stays decidable."""
