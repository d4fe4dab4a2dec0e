"""The student: its network, the checkpoint it is kept in, the names it is found by, the released weights."""
