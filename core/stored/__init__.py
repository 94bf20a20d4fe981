"""What is kept in files: read with limits, sealed where nobody else may write, and JSON in one way."""
