"""The certificate checker: the trusted base. It imports `core.errors` alone, and believes nothing of what made a certificate."""
