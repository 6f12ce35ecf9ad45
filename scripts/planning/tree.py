"""The tree's templates as a comparison takes them."""

from __future__ import annotations

from typing import Any

from scripts.core import documents
from scripts.core.packaging import Package
from scripts.planning.compare import Find


def finder(package: Package | None) -> Find:
    """Gives a packaged template by its URL."""
    texts = {package.store.url(file.key): file.text for file in package.files} if package else {}
    read: dict[str, Any] = {url: documents.parse(text, url, documents.TemplateLoader) for url, text in texts.items()}
    return read.get


def pseudo(stack_name: str, region: str, account: str, suffix: str) -> dict[str, str]:
    """The pseudo parameters of a stack."""
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    return {"AWS::AccountId": account, "AWS::Region": region, "AWS::URLSuffix": suffix, "AWS::StackName": stack_name, "AWS::Partition": partition}
