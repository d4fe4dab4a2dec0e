"""Run a flow in a process of its own: `python -m tests.infra.flow_run MODULE FLOW PARAMETERS.json`."""

import importlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    module, flow, parameters = sys.argv[1:]
    getattr(importlib.import_module(module), flow)(**json.loads(Path(parameters).read_text()))
