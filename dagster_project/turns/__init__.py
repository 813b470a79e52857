"""Turns: one run at a time works in a home, and runs without a living process are ended.

The modules use locks of the kernel, which end with the process that holds them, for any reason. So no
slot outlives its run, and no pid is mistaken for that of another process.
"""
