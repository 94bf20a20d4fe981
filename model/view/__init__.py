"""What a state looks like to a person: the roles that variables play, their cells, names and words."""
