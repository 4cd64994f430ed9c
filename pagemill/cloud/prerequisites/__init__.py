"""What a run needs beside its parameters: each file checks one thing, `checking` all of them side by side."""

from pagemill.cloud.prerequisites.checking import check_prerequisites, findings_table, print_findings
from pagemill.cloud.prerequisites.findings import Finding, Verdict

__all__ = ["Finding", "Verdict", "check_prerequisites", "findings_table", "print_findings"]
