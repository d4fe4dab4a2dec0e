"""Before a pipeline run begins: all that its later stages need, checked in seconds, all faults in one message."""
