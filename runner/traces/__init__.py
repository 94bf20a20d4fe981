"""Whether what a running kernel did is a run of the model."""
