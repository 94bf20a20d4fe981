"""Who runs against whom, on which hardware, how big: one TOML file a scenario, read by `model.scenario`."""
