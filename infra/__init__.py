"""What runs pcakd elsewhere: container image, compose file, Kubernetes manifests, and the check of all of them."""
