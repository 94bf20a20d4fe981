"""The colours that pictures share. Colour is never the only cue."""

from __future__ import annotations

INK, FAINT, PALE, RED, PAPER, GRID = "#263238", "#607d8b", "#90a4ae", "#c62828", "#ffffff", "#cfd8dc"
