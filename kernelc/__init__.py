"""Kernel C to atomic steps: text to functions, to a control-flow graph, to steps; knows `core`, and nothing about KVM."""
