"""The kernel tree, read once for all tests here: what is made of it is kept by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdpcheck.kernelc.sources.tree import KernelTree, open_tree


@pytest.fixture(scope="session")
def tree(kernel_tree: Path) -> KernelTree:
    return open_tree(kernel_tree)


@pytest.fixture(scope="session")
def tree_6_12(kernel_6_12: Path) -> KernelTree:
    return open_tree(kernel_6_12)
