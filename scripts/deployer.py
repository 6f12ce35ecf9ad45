"""Make the role that deploys, in the account of an environment: templates/deployer.yaml, with the credentials of an administrator.

Once for each account, and again when the template changes. Values that are not given stay as they are. The role can deploy, package and
destroy this service's stacks, and nothing else; docs/deployer.md says what that comes to.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.core import accounts, deployers, placeholders, settings, world
from scripts.core.errors import BadInput
from scripts.core.world import World

# Option → the template's parameter.
_VALUES = {
    "trust": "TrustedPrincipalArns",
    "trust_account": "TrustedAccountId",
    "mfa": "RequireMfa",
    "boundary": "PermissionsBoundaryArn",
    "own_boundary": "DeployerBoundaryArn",
    "through_cloudformation": "ThroughCloudFormationOnly",
}


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("deployer", __doc__)
    arguments.add_argument("--trust", metavar="ARNS", help="who may assume it: ARNs with commas between, * and ? allowed (default: * of the account)")
    arguments.add_argument("--trust-account", metavar="ACCOUNT", help="the account that they are in (default: its own)")
    arguments.add_argument("--mfa", choices=["true", "false"], help="whether they must have signed in with MFA (default: false)")
    arguments.add_argument("--boundary", metavar="ARN", help="permissions boundary that every role of the stacks must have (default: none)")
    arguments.add_argument("--own-boundary", metavar="ARN", help="permissions boundary of the deployer itself (default: none)")
    arguments.add_argument(
        "--through-cloudformation",
        choices=["true", "services", "false"],
        metavar="HOW",
        help="whether it reaches what the stacks hold only through CloudFormation: true (default); services: through any AWS service; "
        "false: by hand, too. For a refusal by AWS that docs/deployer.md knows",
    )
    arguments.add_argument("--poll", type=float, default=2.0, metavar="SECONDS", help="how often to ask CloudFormation (default 2)")
    return world.run(arguments, argv, given, _deployer)


def _deployer(options: argparse.Namespace, here: World) -> int:
    environment = settings.load(here.root, options.env, options.local)
    region = deployers.home(here.root, environment, options.local)
    values = {parameter: getattr(options, option) for option, parameter in _VALUES.items() if getattr(options, option) is not None}
    names = {parameter: f"--{option.replace('_', '-')}" for option, parameter in _VALUES.items()}
    deployers.require_valid(deployers.load(here.root), environment, values, names)
    found = [] if options.local else placeholders.of_account(environment)
    if found:
        raise BadInput(f"{environment.file} still has placeholders", found)
    entered = accounts.open_accounts(here.open_aws(options.local, here.environ), [region], [environment])
    here.console.line(entered.target.line)
    stack = deployers.deploy(options, here, entered, environment, values)
    arn = stack.outputs.get("DeployerRoleArn", "") if stack else ""
    here.console.line(f"DeployerRoleArn: {arn}")
    if not environment.deployer:
        here.console.line(
            f"To deploy as it, write `deployer: true` into the files of account {environment.account} in parameters/; or as a profile of ~/.aws/config:\n"
            f"  [profile {environment.deployer_role}]\n  role_arn = {arn}\n  source_profile = <yours>"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
