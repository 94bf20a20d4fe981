"""What became of a change: its lines, the conditions and statements in it that no run has judged, the ghosts that it leans on."""
