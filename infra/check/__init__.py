"""`make check` of the infrastructure: `python -m infra.check [FOLDER]`.

    images.py      every image is pinned
    compose.py     the compose file is valid, and its parts fit each other
    kustomize.py   a Kustomize folder → its objects
    manifests.py   the objects are valid, and what they refer to exists
    settings.py    infra, .env.example and pcakd/environment.py name the same variables

Each module has one function that takes the project's folder and yields problems, one line each.
"""
