"""From syntax to one control-flow graph a thread: types, calls, statements, and what unknown names mean."""
