"""The device mesh, and the processes of several hosts."""
