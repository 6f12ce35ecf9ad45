"""Every check, by the name that findings carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from scripts.doctors import access, account, hosts, names, parts, quotas
from scripts.doctors.finding import Finding
from scripts.doctors.place import Place

Check = Callable[[Place], Iterable[Finding]]

REGION: Check = account.region
"""Asked first: where a Region cannot be used, nothing else is asked in it."""

CHECKS: Mapping[str, Check] = {
    "stacks": names.stacks_,
    "names": names.taken,
    "quotas": quotas.check,
    "image": hosts.image,
    "zones": hosts.available,
    "instance type": hosts.instance_type,
    "disk encryption": hosts.disks,
    "agent": hosts.agent,
    "network": parts.network,
    "certificate": parts.certificate,
    "canary": parts.canary_runtime,
    "connection": parts.connection,
    "release store": parts.store,
}
"""Asked in each Region."""

ONCE: Mapping[str, Check] = {
    "deployer": access.deployer,
    "policies": access.policies,
    "service-linked roles": access.linked_roles,
}
"""Asked once an account: IAM has no Regions."""
