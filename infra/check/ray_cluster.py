"""The RayCluster objects of KubeRay's API ray.io/v1: the fields that manifests here may set, and of what type.

Written from the operator's documented API; pod templates are held against the Kubernetes schema of a Pod.
"""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}
_TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    "properties": {"metadata": {"type": "object"}, "spec": {"type": "object", "required": ["containers"]}},
    "additionalProperties": False,
}
_HEAD = {
    "type": "object",
    "required": ["rayStartParams", "template"],
    "properties": {
        "rayStartParams": _TEXTS,
        "template": _TEMPLATE,
        "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "enableIngress": {"type": "boolean"},
        "headService": {"type": "object"},
    },
    "additionalProperties": False,
}
_WORKERS = {
    "type": "object",
    "required": ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    "properties": {
        "groupName": {"type": "string", "minLength": 1},
        "replicas": _COUNT,
        "minReplicas": _COUNT,
        "maxReplicas": _COUNT,
        "numOfHosts": {"type": "integer", "minimum": 1},
        "rayStartParams": _TEXTS,
        "template": _TEMPLATE,
        "scaleStrategy": {"type": "object"},
    },
    "additionalProperties": False,
}
_AUTOSCALER = {
    "type": "object",
    "properties": {
        "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
        "idleTimeoutSeconds": _COUNT,
        "image": {"type": "string"},
        "imagePullPolicy": {"enum": ["Always", "Never", "IfNotPresent"]},
        "resources": {"type": "object"},
        "env": {"type": "array"},
        "envFrom": {"type": "array"},
        "volumeMounts": {"type": "array"},
        "securityContext": {"type": "object"},
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["rayVersion", "headGroupSpec"],
            "properties": {
                "rayVersion": {"type": "string"},
                "enableInTreeAutoscaling": {"type": "boolean"},
                "autoscalerOptions": _AUTOSCALER,
                "headServiceAnnotations": _TEXTS,
                "suspend": {"type": "boolean"},
                "headGroupSpec": _HEAD,
                "workerGroupSpecs": {"type": "array", "items": _WORKERS},
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}


def check_ray_cluster(item: dict[str, Any], ray_version: str) -> Iterator[str]:
    """Problems of one object; ray_version: the one that the image installs."""
    errors = sorted(Draft202012Validator(SCHEMA).iter_errors(item), key=str)
    for error in errors:
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    if errors:
        return
    spec = item["spec"]
    if spec["rayVersion"] != ray_version:
        yield f"spec.rayVersion is {spec['rayVersion']}, requirements.lock installs {ray_version}"
    names = [group["groupName"] for group in spec.get("workerGroupSpecs", ())]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"worker group {name} is there twice"
    for group in spec.get("workerGroupSpecs", ()):
        low, high = group["minReplicas"], group["maxReplicas"]
        if not low <= group.get("replicas", low) <= high:
            yield f"worker group {group['groupName']}: replicas must lie between {low} and {high}"


def pod_templates(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, pod template) of the head and of each worker group."""
    spec = item.get("spec", {})
    if template := spec.get("headGroupSpec", {}).get("template"):
        yield "head", template
    for group in spec.get("workerGroupSpecs", ()):
        if template := group.get("template"):
            yield group.get("groupName", "?"), template
