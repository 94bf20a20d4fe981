"""The nouns: sorts, state variables, actions, transition systems, properties, traces and verdicts. Knows Z3's terms and nothing of KVM."""
