"""A formal model checker for page tables that KVM and an IOMMU share: a change goes in, a verdict comes out.

This is the public face: `verify`, `replay`, `museum`, `explain` ask what the command line asks; the nouns after them are for systems of
one's own. Each name is imported when it is first used; docs/api.md documents them all.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
