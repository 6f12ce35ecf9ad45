"""What `make validate` asks of the tree beyond cfn-lint's rules: one check a file.

A module here is a check when it has `RULES: dict[str, str]` (id → one line that describes it) and `check(root: Path) -> Iterable[Finding]`.
A check reads files under `root` and nothing else: no network, no AWS, no clock, nothing written to the tree.
"""
