"""Runs Checkov on Kubernetes documents: ``python audit.py documents.yaml`` prints its report as JSON.

It calls the Kubernetes runner only, because Checkov's command line imports all of them.
"""

import json
import sys

from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter

report = Runner().run(root_folder=None, files=[sys.argv[1]], runner_filter=RunnerFilter(framework=["kubernetes"]))
print(
    json.dumps(
        {
            "failed": [(check.check_id, check.resource, check.check_name) for check in report.failed_checks],
            "unread": report.parsing_errors,
        }
    )
)
