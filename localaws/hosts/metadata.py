"""The metadata service inside a host or a build container. Standard library only; runs as root, alone.

    metadata.py host 169.254.169.254     the instance metadata service, version 2 (and 1, where the instance allows it)
    metadata.py box 169.254.170.2        credentials for AWS_CONTAINER_CREDENTIALS_RELATIVE_URI

What it tells comes from /etc/localaws/metadata.json and credentials.json, which the local AWS writes and renews. Sources:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html, …/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import datetime as dt
import http.server
import json
import secrets
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path

CONFIG = Path("/etc/localaws")
TOKEN_SECONDS_MAX = 21600
HELD_SECONDS = 30.0
"""How long a request from a container is left without an answer: on AWS the answer is lost on its second hop."""


class Documents:
    """The files that the local AWS writes, read again when they change (a half-written one is passed over)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[int, dict[str, object]]] = {}

    def read(self, name: str) -> dict[str, object]:
        """Return the JSON object of file `name`, {} if there never was one."""
        file = self._folder / name
        try:
            stamp = file.stat().st_mtime_ns
            if self._known.get(name, (0, {}))[0] != stamp:
                self._known[name] = (stamp, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            pass
        return self._known.get(name, (0, {}))[1]


def stamp(seconds: float) -> str:
    """Return a time as AWS writes it, e.g. 2030-01-02T03:04:05Z."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instance_tree(data: dict[str, object], credentials: dict[str, object], address: str, user_data: str | None) -> dict[str, str]:
    """Return what the instance metadata service tells: path below /latest/ → text.

    `data`: {account, region, zone, instanceId, imageId, instanceType, launched (epoch seconds), role, profileArn, profileId, tags,
    instanceTags ("enabled"|"disabled"), hopLimit, tokens}. `credentials`: as the local AWS writes them, {} without a role.
    """
    identity = {"accountId": data["account"], "architecture": "x86_64", "availabilityZone": data["zone"], "imageId": data["imageId"],
                "instanceId": data["instanceId"], "instanceType": data["instanceType"], "pendingTime": stamp(float(str(data["launched"]))),
                "privateIp": address, "region": data["region"], "version": "2017-09-30"}
    tree = {
        "meta-data/ami-id": str(data["imageId"]), "meta-data/instance-id": str(data["instanceId"]),
        "meta-data/instance-type": str(data["instanceType"]), "meta-data/local-ipv4": address,
        "meta-data/local-hostname": f"ip-{address.replace('.', '-')}.ec2.internal", "meta-data/hostname":
        f"ip-{address.replace('.', '-')}.ec2.internal", "meta-data/placement/availability-zone": str(data["zone"]),
        "meta-data/placement/region": str(data["region"]), "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws", "meta-data/instance-life-cycle": "on-demand",
        "dynamic/instance-identity/document": json.dumps(identity, indent=2),
    }
    if user_data is not None:
        tree["user-data"] = user_data
    if data.get("profileArn"):
        code = str(credentials.get("Code", "AssumeRoleUnauthorizedAccess"))
        tree["meta-data/iam/info"] = json.dumps({
            "Code": code, "LastUpdated": stamp(float(str(credentials.get("Updated", data["launched"])))),
            "InstanceProfileArn": data["profileArn"], "InstanceProfileId": data["profileId"]}, indent=2)
        if credentials.get("AccessKeyId"):
            tree[f"meta-data/iam/security-credentials/{data['role']}"] = json.dumps({
                "Code": "Success", "LastUpdated": stamp(float(str(credentials["Updated"]))), "Type": "AWS-HMAC",
                "AccessKeyId": credentials["AccessKeyId"], "SecretAccessKey": credentials["SecretAccessKey"],
                "Token": credentials["Token"], "Expiration": stamp(float(str(credentials["Expiration"])))}, indent=2)
    if data.get("instanceTags") == "enabled":
        for name, value in dict(data.get("tags") or {}).items():  # type: ignore[call-overload]
            tree[f"meta-data/tags/instance/{name}"] = str(value)
    return tree


def look_up(tree: dict[str, str], path: str) -> str | None:
    """Return the text at `path`, a listing where it is a folder (folders end in /), None where there is nothing."""
    wanted = path.strip("/")
    if wanted in tree:
        return tree[wanted]
    prefix = wanted + "/" if wanted else ""
    names = sorted({name[len(prefix):].partition("/")[0] + ("/" if "/" in name[len(prefix):] else "")
                    for name in tree if name.startswith(prefix)})
    return "\n".join(names) if names else None


def own_addresses(served: str, address: str) -> set[str]:
    """Return the source addresses of this machine's own requests; any other comes from a container on it, one hop further."""
    return {served, address, "127.0.0.1"}


def address_of(gateway: str) -> str:
    """Return this machine's address on the local AWS's network (nothing is sent)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((gateway, 53))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request. `server` has documents, kind, served (address), gateway and tokens {token: expiry}."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: clients ask all the time."""

    def do_PUT(self) -> None:
        """Make a session token."""
        if self.server.kind != "host" or self.path != "/latest/api/token":
            return self._answer(404, "")
        if self.headers.get("X-Forwarded-For"):
            return self._answer(403, "")
        data = self.server.documents.read("metadata.json")
        if self._too_far(int(str(data.get("hopLimit", 1)))):
            return self._lose()
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not lifetime.isdigit() or not 1 <= int(lifetime) <= TOKEN_SECONDS_MAX:
            return self._answer(400, "Bad Request")
        token = secrets.token_urlsafe(40)
        with self.server.lock:
            now = time.time()
            self.server.tokens = {known: end for known, end in self.server.tokens.items() if end > now}
            self.server.tokens[token] = now + int(lifetime)
        self._answer(200, token, {"X-aws-ec2-metadata-token-ttl-seconds": lifetime})

    def do_GET(self) -> None:
        """Tell what is at the path."""
        credentials = self.server.documents.read("credentials.json")
        if self.server.kind != "host":
            if self.path != "/v2/credentials/localaws" or not credentials or self._too_far(1):
                return self._answer(404, "")
            body = {name: credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")}
            return self._answer(200, json.dumps({**body, "Expiration": stamp(float(str(credentials["Expiration"])))}),
                                {"Content-Type": "application/json"})
        data = self.server.documents.read("metadata.json")
        token = self.headers.get("X-aws-ec2-metadata-token")
        if token is None and data.get("tokens") == "required":
            return self._answer(401, "Unauthorized")
        if token is not None and self.server.tokens.get(token, 0.0) < time.time():
            return self._answer(401, "Unauthorized")
        section = self.path.partition("?")[0].strip("/").partition("/")
        if section[0] not in ("latest", "2021-03-23"):
            return self._answer(404, "Not Found")
        user_data = CONFIG / "user-data"
        tree = instance_tree(data, credentials, address_of(self.server.gateway),
                             user_data.read_text(encoding="utf-8") if user_data.exists() else None)
        found = look_up(tree, section[2])
        return self._answer(404, "Not Found") if found is None else self._answer(200, found)

    def _too_far(self, hops: int) -> bool:
        return hops < 2 and self.client_address[0] not in own_addresses(self.server.served, address_of(self.server.gateway))

    def _lose(self) -> None:
        time.sleep(HELD_SECONDS)
        self.close_connection = True

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens on the metadata address; one thread a connection."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, kind: str, served: str, gateway: str, folder: Path = CONFIG, port: int = 80) -> None:
        self.kind, self.served, self.gateway = kind, served, gateway
        self.documents = Documents(folder)
        self.tokens: dict[str, float] = {}
        self.lock = threading.Lock()
        super().__init__((served, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking the name server for our own name, as HTTPServer would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.served, self.server_address[1]


def main() -> None:
    """Serve until the container stops."""
    kind, served = sys.argv[1:3]
    boot = dict(line.split("=", 1) for line in (CONFIG / "boot.env").read_text(encoding="utf-8").split())
    Server(kind, served, boot["GATEWAY"]).serve_forever()


if __name__ == "__main__":
    main()
