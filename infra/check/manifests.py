"""The Kubernetes objects are valid by Kubernetes's own schemas, and what they refer to exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate

from infra.check.files import InvalidError, kustomizations
from infra.check.kustomize import Object, build
from infra.check.ray_cluster import check_ray_cluster, pod_templates
from pcakd.environment import VARIABLES

KUBERNETES = "1.32"
"""Whose schemas the objects are held against."""

PARTS = {"postgres"}
"""Folders that only others build upon: what they refer to may stand there."""


def check_manifests(root: Path) -> Iterator[str]:
    """Problems of every Kustomize folder under infra/kubernetes."""
    try:
        secrets = made_secrets(root / "infra" / "kubernetes" / "secrets.sh")
        ray_version = locked_version(root / "requirements.lock", "ray")
    except (InvalidError, OSError) as error:
        yield str(error)
        return
    seen: set[str] = set()
    checked: list[Object] = []
    for folder in kustomizations(root):
        try:
            objects = build(folder)
        except InvalidError as error:
            yield str(error)
            continue
        # An overlay repeats most of its base.
        problems = [problem for item in objects if item not in checked for problem in _of_one(item, ray_version)]
        checked += objects
        if folder.name not in PARTS:
            problems += _references(objects, secrets)
        for problem in problems:
            if problem not in seen:
                seen.add(problem)
                yield f"{folder.relative_to(root)}: {problem}"


def made_secrets(script: Path) -> dict[str, set[str]]:
    """Secret → its keys, as secrets.sh makes them."""
    text = script.read_text().replace("\\\n", " ")
    found: dict[str, set[str]] = {}
    for line in re.findall(r"^secret (.+)$", text, re.MULTILINE):
        name, *pairs = line.split(maxsplit=1)
        found[name] = set(re.findall(r'"([\w-]+)=', pairs[0] if pairs else ""))
    return found


def locked_version(lock: Path, package: str) -> str:
    """The version of a package in requirements.lock. Raises InvalidError."""
    match = re.search(rf"^{package}(?:\[[^]]*\])?==([^\s;]+)", lock.read_text(), re.MULTILINE)
    if match is None:
        raise InvalidError(f"requirements.lock: has no {package}")
    return match[1]


def _of_one(item: Object, ray_version: str) -> Iterator[str]:
    shown = f"{item.get('kind')} {item['metadata']['name']}"
    if item.get("kind") == "Secret":
        yield f"{shown}: secrets do not stand in manifests; secrets.sh makes them"
        return
    if item.get("kind") == "RayCluster":
        yield from (f"{shown}: {problem}" for problem in check_ray_cluster(item, ray_version))
        for name, template in pod_templates(item):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template.get("metadata", {})}}
            yield from _by_schema({**pod, "spec": template.get("spec", {})}, f"{shown}: {name}")
    else:
        yield from _by_schema(item, shown)
    for template in templates(item):
        for container in _containers(template):
            yield from (f"{shown}: container {container.get('name')} {problem}" for problem in _rules(container))


def _by_schema(item: Object, shown: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{shown}: {'.'.join(map(str, error.path))}: {error.message}"
    except (kubernetes_validate.SchemaNotFoundError, KeyError):
        yield f"{shown}: {item.get('apiVersion')} {item.get('kind')} is no kind of Kubernetes {KUBERNETES}"


def _rules(container: Object) -> Iterator[str]:
    resources = container.get("resources", {})
    for kind, names in (("requests", {"cpu", "memory"}), ("limits", {"memory"})):
        if missing := sorted(names - resources.get(kind, {}).keys()):
            yield f"has no {kind} of {' and '.join(missing)}"
    if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
        yield "allows privilege escalation"
    for variable in container.get("env", ()):
        name = variable.get("name", "")
        secret = VARIABLES[name].secret if name in VARIABLES else re.search(r"PASSWORD|TOKEN|SECRET|AUTH_STRING", name)
        if secret and "value" in variable:
            yield f"has the secret {name} as a value; refer to a secret"


def templates(item: Object) -> list[Object]:
    """The pod templates of an object."""
    if item.get("kind") == "RayCluster":
        return [template for _, template in pod_templates(item)]
    template = item.get("spec", {}).get("template")
    return [template] if isinstance(template, dict) and "spec" in template else []


def _containers(template: Object) -> list[Object]:
    spec = template["spec"]
    return [*spec.get("containers", ()), *spec.get("initContainers", ())]


def _references(objects: list[Object], secrets: dict[str, set[str]]) -> Iterator[str]:
    """What is referred to, and is not there."""
    names = {(item["kind"], item["metadata"]["name"]) for item in objects}
    data = {item["metadata"]["name"]: set(item.get("data", ())) for item in objects if item["kind"] == "ConfigMap"}
    used = [(item, template) for item in objects for template in templates(item)]
    labels = [template.get("metadata", {}).get("labels", {}) for _, template in used]
    for item, template in used:
        shown, spec = f"{item['kind']} {item['metadata']['name']}", template["spec"]
        account = spec.get("serviceAccountName")
        if ("ServiceAccount", account) not in names:
            yield f"{shown}: service account {account} does not exist"
        for volume in spec.get("volumes", ()):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and ("PersistentVolumeClaim", claim) not in names:
                yield f"{shown}: volume claim {claim} does not exist"
            if (name := volume.get("configMap", {}).get("name")) and name not in data:
                yield f"{shown}: ConfigMap {name} does not exist"
        for reference in _found(spec, ("configMapRef", "configMapKeyRef")):
            yield from (f"{shown}: ConfigMap {problem}" for problem in _missing(reference, data))
        for reference in _found(spec, ("secretRef", "secretKeyRef")):
            yield from (f"{shown}: secret {problem} in secrets.sh" for problem in _missing(reference, secrets))
    for item in objects:
        selector = item.get("spec", {}).get("selector", {}) if item["kind"] == "Service" else {}
        if item["kind"] == "PodDisruptionBudget":
            selector = item["spec"]["selector"].get("matchLabels", {})
        if selector and not any(selector.items() <= given.items() for given in labels):
            yield f"{item['kind']} {item['metadata']['name']}: its selector finds no pod"


def _missing(reference: Object, there: dict[str, set[str]]) -> Iterator[str]:
    name, key = reference.get("name", ""), reference.get("key")
    if name not in there:
        yield f"{name} does not exist"
    elif key is not None and key not in there[name]:
        yield f"{name} has no key {key}"


def _found(value: Any, keys: tuple[str, ...]) -> Iterator[Object]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys:
                yield inner
            else:
                yield from _found(inner, keys)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, keys)
