"""A whole run told: read back what `verify --out` left (`stored`), arranged once (`overview`, `compare`), and written in three forms."""
