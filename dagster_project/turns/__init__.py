"""One run at a time works in a home, and the runs whose process is gone are ended.

All of it rests on locks that the kernel keeps for a process and takes from it when it ends, however it
ends: no slot outlives its run, and no pid is taken for that of another process.
"""
