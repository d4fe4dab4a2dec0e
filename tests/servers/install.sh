#!/usr/bin/env bash
# Debian packages that the integration tests start as real servers; nothing to do where they are there already.
# The package list grows with the tests: one line a package, with the command that shows it is installed.
set -euo pipefail
