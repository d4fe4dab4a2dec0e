"""What the containers run: shell scripts for the long-lived processes, modules for the health check and the set-up."""
