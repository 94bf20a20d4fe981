"""From answers to documents: the plainest run, its kin, quotes, and every form that there is."""
