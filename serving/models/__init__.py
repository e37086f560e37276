"""The versions that a process holds in memory, and the verified files that processes share."""
