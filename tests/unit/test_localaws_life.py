"""In which order the local AWS's services start and stop."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from localaws.server import LocalAws


def local_aws(said: list[str], *names: str) -> LocalAws:
    one = LocalAws.__new__(LocalAws)
    one._stopping, one._loops = threading.Event(), []
    one.services = {name: SimpleNamespace(name=name, stop=lambda name=name: said.append(f"{name} stops")) for name in names}
    return one


def test_hosts_start_before_balancers_and_stop_after_them() -> None:
    said: list[str] = []
    one = local_aws(said, "cloudwatch", "elbv2", "codebuild", "ec2", "hosts")
    assert [service.name for service in one._in_order()] == ["hosts", "elbv2", "cloudwatch", "codebuild", "ec2"]
    one._stop_services()
    assert said == ["ec2 stops", "codebuild stops", "cloudwatch stops", "elbv2 stops", "hosts stops"]


def test_services_stop_once_what_is_at_work_has_ended() -> None:
    said: list[str] = []
    one = local_aws(said, "elbv2", "hosts")
    at_work, may_end = threading.Event(), threading.Event()

    def work() -> None:
        at_work.set()
        may_end.wait(10)
        said.append("work ends")

    one.every(0.001, "work", work)
    assert at_work.wait(10)
    stopping = threading.Thread(target=one._stop_services)
    stopping.start()
    assert one._stopping.wait(10)
    stopping.join(0.2)
    assert said == [], "nothing stops meanwhile"
    may_end.set()
    stopping.join(20)
    assert said == ["work ends", "elbv2 stops", "hosts stops"]
