"""The software, in kernel C: our own words, the kernel's names, shorter than the originals."""
