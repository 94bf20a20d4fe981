"""C in, atomic steps out; what calls and types mean is handed in as a `Library`.

The names here are for those who give C a meaning of their own, as `examples/toy_kernel.py` does; each is imported when it is first used.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
