"""Hardware and host, one part a file: frames, host memory management, caches, walks, invalidation, devices, RCU and locks."""
