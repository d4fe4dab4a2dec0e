"""Photos as files and as arrays."""
