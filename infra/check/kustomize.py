"""A Kustomize folder → its objects: as much of Kustomize as the manifests here use, and an error for anything more.

Resources (files and folders), JSON patches with a target, `namespace`, `images`, and ConfigMaps of files. A test holds
it against `kubectl kustomize` where that is installed.
"""

import copy
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

from infra.check.files import InvalidError, documents

CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass"}
_KNOWN = {"apiVersion", "kind", "namespace", "resources", "patches", "images", "configMapGenerator"}

Object = dict[str, Any]


def build(folder: Path) -> list[Object]:
    """The objects of a folder with a kustomization.yaml. Raises InvalidError with what is wrong, and where."""
    where = folder / "kustomization.yaml"
    (spec,) = documents(where) or [{}]
    if unknown := sorted(set(spec) - _KNOWN):
        raise InvalidError(f"{where}: this check does not know {', '.join(unknown)}")
    objects: list[Object] = []
    for name in spec.get("resources", ()):
        path = folder / name
        if not path.exists():
            raise InvalidError(f"{where}: resource {name} does not exist")
        objects += build(path) if path.is_dir() else copy.deepcopy(documents(path))
    for generator in spec.get("configMapGenerator", ()):
        objects.append(_config_map(generator, folder, where))
    for item in objects:
        if not isinstance(item.get("metadata"), dict) or not item["metadata"].get("name"):
            raise InvalidError(f"{where}: an object of kind {item.get('kind')} has no metadata.name")
    if namespace := spec.get("namespace"):
        for item in objects:
            if item.get("kind") == "Namespace":
                item["metadata"]["name"] = namespace
            elif item.get("kind") not in CLUSTER_WIDE:
                item["metadata"]["namespace"] = namespace
    for patch in spec.get("patches", ()):
        _patch(objects, patch, where)
    for image in spec.get("images", ()):
        _rename(objects, image)
    names = [(item.get("kind"), item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    for name in names:
        if names.count(name) > 1:
            raise InvalidError(f"{where}: {name[0]} {name[2]} is there twice")
    return objects


def _config_map(generator: Object, folder: Path, where: Path) -> Object:
    if not generator.get("options", {}).get("disableNameSuffixHash") or set(generator) != {"name", "files", "options"}:
        raise InvalidError(f"{where}: this check knows ConfigMaps of files without a suffix in their names")
    data = {}
    for name in generator["files"]:
        if not (folder / name).is_file():
            raise InvalidError(f"{where}: file {name} does not exist")
        data[Path(name).name] = (folder / name).read_text()
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _patch(objects: list[Object], patch: Object, where: Path) -> None:
    target = patch.get("target", {})
    if set(patch) != {"target", "patch"} or not set(target) <= {"kind", "name"}:
        raise InvalidError(f"{where}: this check knows JSON patches with a target of kind and name")
    shown = f"{target.get('kind')} {target.get('name')}"
    hits = [
        item
        for item in objects
        if target.get("kind") in (None, item.get("kind")) and target.get("name") in (None, item["metadata"]["name"])
    ]
    if not hits:
        raise InvalidError(f"{where}: a patch's target {shown} does not exist")
    operations = yaml.safe_load(patch["patch"])
    for item in hits:
        try:
            changed = jsonpatch.apply_patch(item, operations)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise InvalidError(f"{where}: a patch of {shown} does not fit ({error})") from None
        item.clear()
        item.update(changed)


def _rename(value: Any, image: Object) -> None:
    """Give an image another name or tag, in every list of containers."""
    if isinstance(value, list):
        for inner in value:
            _rename(inner, image)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers") and isinstance(inner, list):
                for container in inner:
                    name, _, tag = str(container.get("image", "")).partition(":")
                    if name == image["name"]:
                        new_tag = image.get("newTag", tag)
                        container["image"] = image.get("newName", name) + (":" if new_tag else "") + new_tag
            else:
                _rename(inner, image)
