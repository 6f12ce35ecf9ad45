"""The table of what the local AWS serves, from what was really called: `docs/local-aws.md`, last section.

    python -m localaws.coverage [RECORDED …]   take up build/recorded/calls-*.json of runs of the end-to-end cases, and write the table
    python -m localaws.coverage --check        say whether the table is that of localaws/calls.json

`localaws/calls.json` has each operation with the answers that were seen: "ok" and error codes. What we serve and no recorded run called is in the table too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore import xform_name

from localaws import operations, shapes

ROOT = Path(__file__).resolve().parents[1]
CALLS = ROOT / "localaws" / "calls.json"
PAGE = ROOT / "docs" / "local-aws.md"
_BEGIN, _END = "<!-- calls: made by python -m localaws.coverage -->", "<!-- end of calls -->"

# Signing name: (name on the page, folder of ours or "", section of the page, where AWS describes its operations).
_SERVICES: Mapping[str, tuple[str, str, str, str]] = {
    "autoscaling": ("Auto Scaling", "autoscaling", "auto-scaling", "autoscaling/ec2/APIReference/API_{}.html"),
    "cloudformation": ("CloudFormation", "cloudformation", "cloudformation", "AWSCloudFormation/latest/APIReference/API_{}.html"),
    "codebuild": ("CodeBuild", "codebuild", "codebuild", "codebuild/latest/APIReference/API_{}.html"),
    "codeconnections": ("CodeConnections", "codeconnections", "codepipeline-and-codeconnections", "codeconnections/latest/APIReference/API_{}.html"),
    "codedeploy": ("CodeDeploy", "codedeploy", "codedeploy", "codedeploy/latest/APIReference/API_{}.html"),
    "codepipeline": ("CodePipeline", "codepipeline", "codepipeline-and-codeconnections", "codepipeline/latest/APIReference/API_{}.html"),
    "dynamodb": ("DynamoDB", "", "lambda-dynamodb", "amazondynamodb/latest/APIReference/API_{}.html"),
    "ec2": ("EC2", "ec2", "hosts-ec2-and-systems-manager", "AWSEC2/latest/APIReference/API_{}.html"),
    "ecr": ("ECR", "ecr", "elastic-container-registry", "AmazonECR/latest/APIReference/API_{}.html"),
    "elasticloadbalancing": ("Elastic Load Balancing", "elbv2", "elastic-load-balancing", "elasticloadbalancing/latest/APIReference/API_{}.html"),
    "events": ("EventBridge", "", "eventbridge-and-sns", "eventbridge/latest/APIReference/API_{}.html"),
    "iam": ("IAM", "", "", "IAM/latest/APIReference/API_{}.html"),
    "kms": ("KMS", "", "", "kms/latest/APIReference/API_{}.html"),
    "lambda": ("Lambda", "", "lambda-dynamodb", "lambda/latest/api/API_{}.html"),
    "logs": ("CloudWatch Logs", "", "", "AmazonCloudWatchLogs/latest/APIReference/API_{}.html"),
    "monitoring": ("CloudWatch", "cloudwatch", "cloudwatch", "AmazonCloudWatch/latest/APIReference/API_{}.html"),
    "s3": ("S3", "", "", "AmazonS3/latest/API/API_{}.html"),
    "servicequotas": ("Service Quotas", "service_quotas", "", "servicequotas/2019-06-24/apireference/API_{}.html"),
    "sns": ("SNS", "", "eventbridge-and-sns", "sns/latest/api/API_{}.html"),
    "ssm": ("Systems Manager", "ssm", "hosts-ec2-and-systems-manager", "systems-manager/latest/APIReference/API_{}.html"),
    "sts": ("STS", "", "", "STS/latest/APIReference/API_{}.html"),
    "synthetics": ("Synthetics", "synthetics", "cloudwatch-synthetics", "AmazonSynthetics/latest/APIReference/API_{}.html"),
}
# Folders that serve some operations of a service and leave the others to MiniStack.
_SHARED = ("ec2", "ecr", "ssm")


def main(argv: list[str] | None = None) -> int:
    """Run the command; exit 0 done or current, 1 the page is not current, 2 wrong use."""
    arguments = argparse.ArgumentParser(prog="python -m localaws.coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("recorded", nargs="*", type=Path)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args(argv)
    missing = [path for path in options.recorded if not path.is_file()]
    if missing:
        print(f"there is no file {missing[0]}: make test-all writes build/recorded/calls-*.json", file=sys.stderr)
        return 2
    calls = known() if CALLS.exists() else {}
    for path in options.recorded:
        for line in json.loads(path.read_text()):
            name, _, answer = line.rpartition(" ")
            if "(no model)" not in line and not name.endswith(")"):
                calls.setdefault(name, set()).add(answer)
    page = PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    fresh = f"{before}{_BEGIN}\n\n{table(calls)}\n{_END}{after}"
    if options.check:
        if fresh != page:
            print("docs/local-aws.md is not what localaws/calls.json says; run: python -m localaws.coverage", file=sys.stderr)
        return int(fresh != page)
    CALLS.write_text(json.dumps({name: sorted(answers) for name, answers in sorted(calls.items())}, indent=1) + "\n")
    PAGE.write_text(fresh)
    print(f"{len(calls)} operations of {len({name.partition(':')[0] for name in calls})} services")
    return 0


def known() -> dict[str, set[str]]:
    """Operations that were called, "signing name:Operation", each with the answers that were seen."""
    return {name: set(answers) for name, answers in json.loads(CALLS.read_text()).items()}


def table(calls: Mapping[str, Iterable[str]]) -> str:
    """The page's part: one table a service."""
    lines = []
    for service, (title, folder, section, address) in sorted(_SERVICES.items(), key=lambda item: item[1][0].lower()):
        mine = {name.partition(":")[2]: set(answers) for name, answers in calls.items() if name.partition(":")[0] == service}
        if not mine:
            continue
        ours = own(folder) if folder else frozenset()
        mine = {**{operation: set() for operation in ours}, **mine}
        lines += [f"### {title}", "", _remark(folder, section), "", "| operation | served by | answers seen |", "| --- | --- | --- |"]
        for operation in sorted(mine):
            by = "localaws" if operation in ours else "MiniStack"
            answers = mine[operation]
            refused = shapes.REFUSED in answers
            seen = ", ".join([*(["done"] if "ok" in answers else []), *sorted(f"`{one}`" for one in answers - {"ok", shapes.REFUSED})])
            link = f"[{operation}](https://docs.aws.amazon.com/{address.format(operation)})"
            lines.append(f"| {link} | {'refused by name' if refused and not seen else by} | {seen or ('' if refused else 'not called in a recorded run')} |")
        lines.append("")
    return "\n".join(lines)


def own(folder: str) -> frozenset[str]:
    """The operations that a folder of ours serves."""
    service: Any = importlib.import_module(f"localaws.{folder}.api").Api
    model = operations.model({"elbv2": "elasticloadbalancing", "service_quotas": "servicequotas", "cloudwatch": "monitoring"}.get(folder, folder))
    assert model is not None
    return frozenset(name for name in model.operation_names if hasattr(service, xform_name(name)))


def _remark(folder: str, section: str) -> str:
    where = f" Differences: [above](#{section})." if section else ""
    if not folder:
        return f"MiniStack's; what is not in the table was not looked at.{where}"
    if folder in _SHARED:
        return f"Some operations are our own, the others MiniStack's; of those, what is not in the table was not looked at.{where}"
    return f"Our own; what it does not serve is refused by name.{where}"


if __name__ == "__main__":
    raise SystemExit(main())
