"""A small thread of kernel C, proved for any number of pages, devices and threads: the C, its library, the machine, the argument."""
