"""From control-flow graphs to atomic steps, and the interpreter that they are compared with."""
