"""The compose file is valid by the Compose specification's schema, and its parts fit each other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator

from infra.check.files import InvalidError, documents, env_file, interpolate, variables_in

LOOPBACK = ("127.0.0.1:", "[::1]:")


def check_compose(root: Path) -> Iterator[str]:
    """Problems of infra/compose.yaml with the values of infra/.env.example."""
    path = root / "infra" / "compose.yaml"
    try:
        documents(path)
        values, commented = env_file(root / "infra" / ".env.example")
        text = path.read_text()
        compose = yaml.safe_load(interpolate(text, values))
    except (InvalidError, OSError, yaml.YAMLError) as error:
        yield str(error)
        return
    for name in sorted(variables_in(text) - set(values)):
        hint = " (only in a comment)" if name in commented else ""
        yield f"infra/compose.yaml: ${{{name}}} is not set in infra/.env.example{hint}"
    for name in sorted(set(values) - variables_in(text)):
        yield f"infra/.env.example: {name} is set, but infra/compose.yaml does not use it"
    errors = sorted(Draft7Validator(get_builtin_schema("vendor.compose-spec")).iter_errors(compose), key=str)
    for wrong in errors:
        yield f"infra/compose.yaml: {'.'.join(map(str, wrong.absolute_path))}: {wrong.message}"
    if not errors:
        for name, service in compose["services"].items():
            yield from (f"infra/compose.yaml: service {name}: {problem}" for problem in _misfits(service, compose))


def _misfits(service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    services = compose["services"]
    for other, how in service.get("depends_on", {}).items():
        if other not in services:
            yield f"depends on {other}, which is no service"
        elif how["condition"] == "service_healthy" and "test" not in services[other].get("healthcheck", {}):
            yield f"waits for {other} to be healthy, which has no health check"
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source[0] not in "./" and source not in compose.get("volumes", {}):
            yield f"volume {source} is not declared"
    for network in service.get("networks", ()):
        if network not in compose.get("networks", {}):
            yield f"network {network} is not declared"
    for port in service.get("ports", ()):
        if not str(port).startswith(LOOPBACK):
            yield f"port {port} is open to everybody; begin it with 127.0.0.1:"
    if "healthcheck" not in service:
        yield "has no health check"
    if not {"cpus", "memory"} <= service.get("deploy", {}).get("resources", {}).get("limits", {}).keys():
        yield "has no limits of CPUs and memory"
    if service.get("privileged") or service.get("user") in ("root", "0", "0:0"):
        yield "runs with all rights"
