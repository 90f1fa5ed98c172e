"""Run Airbyte's checks of a connector, in their own environment, and print the results as JSON.

    python check_for_registry.py MONOREPO ...

MONOREPO is a directory laid out as Airbyte's; the results of each are a line. The checks of the version number and of
links need other hosts: left out.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout

from airbyte_ops_mcp.connector_ops.utils import Connector
from airbyte_ops_mcp.connector_qa.checks import ENABLED_CHECKS
from airbyte_ops_mcp.metadata_validator import PRE_UPLOAD_VALIDATORS, ValidatorOptions, validate_and_load

NEED_OTHER_HOSTS = ("CheckVersionIncrement", "CheckDocumentationLinks")


class Unreleased(Connector):  # type: ignore[misc]
    """Our version is not in Airbyte's registry, which is on another host."""

    is_released = False


for monorepo in sys.argv[1:]:
    os.chdir(monorepo)
    connector = Unreleased("source-confluence")
    results = []
    with redirect_stdout(sys.stderr):
        for check in ENABLED_CHECKS:
            if type(check).__name__ not in NEED_OTHER_HOSTS:
                result = check.run(connector)
                results.append([type(check).__name__, result.status.name, result.message])
        options = ValidatorOptions(
            docs_path=str(connector.documentation_file_path), disable_dockerhub_checks=True
        )
        _, error = validate_and_load(connector.metadata_file_path, PRE_UPLOAD_VALIDATORS, options)
        results.append(["metadata, without Docker Hub", "FAILED" if error else "PASSED", str(error)])
    print(json.dumps(results))
