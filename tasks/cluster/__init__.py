"""The Ray cluster: how it is attached, its actors, and calls that outlive the loss of a node."""
