"""How we find out: engines are functions from a system, a property and a bound to a verdict. Knows `core` and Z3, and nothing of KVM."""
