"""Package the templates: nested ones and code go to the release store's bucket; each root gets an S3 URL and a quick-create link.

Keys carry the content's hash: the same input gives the same keys, and only what is missing is uploaded. The packaged copies are in
build/packaged/<environment>/<region>/, with the values that are known, a file each, in values/. Without --env: every environment of
parameters/. The Regions are those of the environment, and those that .taskcat.yml tests its root in, as far as they have a release store.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.core import deployers, packaging, roots, settings, stacks, tested, world
from scripts.core.accounts import Accounts
from scripts.core.errors import CommandError
from scripts.core.world import World


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("package", __doc__, environment="optional")
    arguments.add_argument("--bucket", help="upload to this bucket of yours instead of the release store's (one Region only)")
    return world.run(arguments, argv, given, _package)


def _package(options: argparse.Namespace, here: World) -> int:
    names = [options.env] if options.env else list(settings.names(here.root))
    loaded = [roots.load(here.root, name, options.local) for name in names]
    if not loaded:
        raise CommandError("there is nothing to package", "parameters/ has no files")
    regions = [region for one in loaded for region in one.environment.regions]
    entered = deployers.open_as_deployer(options, here, regions, [one.tools for one in loaded])
    here.console.line(entered.target.line)
    for one in loaded:
        for region in one.environment.regions:
            package_one(one, region, entered, here, options.bucket)
        for region in tested.regions_of(here.root, one.environment.name) if not options.bucket else ():
            if region not in one.environment.regions:
                _package_for_test(one, region, entered, here)
    return 0


def _package_for_test(one: roots.Roots, region: str, entered: Accounts, here: World) -> None:
    """A copy for a Region that the environment is not in: only taskcat wants it, so it must not stop anything."""
    name = one.environment.needed_stack_name(roots.RELEASE_STORE)
    if stacks.find(entered.of(one.tools).client("cloudformation", region), name) is None:
        here.console.line(f"note: {tested.FILE} tests {one.environment.name} in {region}, which has no stack {name}: not packaged there")
        return
    package_one(one, region, entered, here)


def package_one(one: roots.Roots, region: str, entered: Accounts, here: World, bucket: str | None = None) -> None:
    """Packages an environment's root, and those that it needs, for a Region, and says where everything is."""
    environment, aws = one.environment, entered.of(one.tools)
    store = packaging.Store(bucket, region, aws.dns_suffix(region)) if bucket else roots.store(one, region, aws)
    folder = here.root / "build" / "packaged" / environment.name / region
    named = {**{need: environment.needed_stack_name(need) for need in environment.needs}, environment.template: environment.stack_name}
    for template, stack_name in named.items():
        package = packaging.plan(here.root / "templates", template, store, roots.has_canaries(environment))
        packaging.write(package, folder)
        uploaded = packaging.upload(package, aws.client("s3", region), one.tools.account)
        values = roots.needed_values(one, template) if template in environment.needs else _literal(environment.parameters_in(region))
        parts = _counted(len(package.files), "template", "templates")
        parts += f", {_counted(len(package.archives), 'folder', 'folders')} of code" if package.archives else ""
        here.console.line(f"{stack_name} ({region}): {parts}, {len(uploaded)} uploaded")
        here.console.line(f"  template: {package.root_url}")
        here.console.line(f"  console:  {packaging.quick_create_link(package.root_url, region, stack_name, values)}")
    packaging.write_values(roots.known_values(one, region, entered), folder)
    here.console.line(f"  copies:   {folder.relative_to(here.root)}/")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _literal(values: dict[str, str]) -> dict[str, str]:
    """The values that need no other stack's output: the person fills in the others."""
    return {key: value for key, value in values.items() if "${" not in value}


if __name__ == "__main__":
    raise SystemExit(main())
