"""scripts/checks/shapes.py: what people write in buildspecs, AppSpec files, parameters and .taskcat.yml, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from scripts.checks import shapes
from tests.unit.checks_tree import ROOT, found, tree

BUILDSPEC = "version: 0.2\nphases:\n  build:\n    commands:\n      - make\n"
APPSPEC = "version: 0.0\nos: linux\n"
TASKCAT = "project:\n  name: sample\n  regions: [us-east-1]\ntests:\n  one:\n    template: templates/one.yaml\n"


def test_this_project_is_as_it_should_be() -> None:
    assert list(shapes.check(ROOT)) == []


@pytest.mark.parametrize("schema", sorted(path.name for path in (ROOT / "scripts/checks/schemas").glob("*.json")))
def test_schemas_are_schemas_and_say_where_they_are_from(schema: str) -> None:
    content = json.loads((ROOT / "scripts/checks/schemas" / schema).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    assert "https://" in content["$comment"] or "scripts/core/" in content["$comment"]


GOOD = {
    "every key of the reference": """
version: 0.2
run-as: builder
env:
  shell: bash
  variables: { JAVA_HOME: /usr/lib/jvm, COUNT: 1 }
  parameter-store: { PASSWORD: /CodeBuild/password }
  secrets-manager: { TOKEN: "my-secret:token:AWSCURRENT" }
  exported-variables: [VERSION]
  git-credential-helper: yes
proxy: { upload-artifacts: no, logs: yes }
phases:
  install:
    on-failure: RETRY-3-.*timeout.*
    runtime-versions: { python: 3.12, nodejs: latest }
    finally:
      - echo installed
  pre_build: { on-failure: ABORT, commands: [make, "echo done: all"] }
  build:
    run-as: root
    on-failure: CONTINUE
    commands:
      - |
        if true; then
          make
        fi
  post_build: { on-failure: RETRY, commands: [] }
reports:
  arn:aws:codebuild:eu-west-1:123456789012:report-group/tests: { files: ["**/*"], file-format: junitxml, discard-paths: no }
artifacts:
  files: ["**/*"]
  name: $AWS_REGION-$(date +%Y)
  base-directory: my-build*
  exclude-paths: [x/**/*]
  enable-symlinks: yes
  secondary-artifacts: { one: { files: [a], discard-paths: yes } }
cache: { key: "npm-$(codebuild-hash-files package-lock.json)", paths: ["node_modules/**/*"] }
""",
    "the version in quotes": BUILDSPEC.replace("0.2", '"0.2"'),
    "the old version": BUILDSPEC.replace("0.2", "0.1"),
    "only an install phase": "version: 0.2\nphases:\n  install:\n    commands: [make]\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_buildspecs_that_codebuild_takes(name: str, tmp_path: Path) -> None:
    assert found(shapes.check, tree(tmp_path, {"buildspecs/one.yml": GOOD[name]})) == {}


BAD = {
    "a phase that is none": ("buildspec-schema", BUILDSPEC.replace("build:", "prebuild:"), "pre_build"),
    "a key that is misspelt": ("buildspec-schema", BUILDSPEC + "artefacts:\n  files: [a]\n", "did you mean artifacts?"),
    "a key of artifacts that is misspelt": ("buildspec-schema", BUILDSPEC + "artifacts:\n  files: [a]\n  base-dir: x\n", "base-directory"),
    "a key of secondary artifacts": ("buildspec-schema", BUILDSPEC + "artifacts:\n  files: [a]\n  secondary-artifacts:\n    b: { filez: [a] }\n", "filez"),
    "artifacts without files": ("buildspec-schema", BUILDSPEC + "artifacts:\n  base-directory: x\n", "files is missing"),
    "a colon in a command": ("buildspec-schema", BUILDSPEC + "      - echo done: all\n", "quotes"),
    "commands that are empty": ("buildspec-schema", "version: 0.2\nphases:\n  build:\n    commands:\n", "a list"),
    "a version that is none": ("buildspec-schema", BUILDSPEC.replace("0.2", "0.3"), "0.1, 0.2"),
    "no version": ("buildspec-schema", BUILDSPEC.replace("version: 0.2\n", ""), "version is missing"),
    "a word for a failure": ("buildspec-schema", BUILDSPEC + "    on-failure: ignore\n", "CONTINUE"),
    "a format of reports": ("buildspec-schema", BUILDSPEC + "reports:\n  tests:\n    files: [a]\n    file-format: JUNIT\n", "JUNITXML"),
    "a shell": ("buildspec-schema", BUILDSPEC + "env:\n  shell: zsh\n", "bash"),
    "env under the old version": ("buildspec-version", BUILDSPEC.replace("0.2", "0.1") + "env:\n  variables: { A: b }\n", "write version: 0.2"),
    "finally under the old version": ("buildspec-version", BUILDSPEC.replace("0.2", "0.1") + "    finally: [a]\n", "phases.build.finally"),
    "a name of CodeBuild's": ("buildspec-variable-name", BUILDSPEC + "env:\n  variables: { CODEBUILD_SRC_DIR: x }\n", "CODEBUILD_SRC_DIR"),
    "an export of AWS's": ("buildspec-variable-name", BUILDSPEC + "env:\n  exported-variables: [AWS_REGION]\n", "AWS_REGION"),
    "no command at all": ("buildspec-without-commands", "version: 0.2\nphases:\n  build:\n    commands: []\n", "nothing to build"),
}


@pytest.mark.parametrize("name", BAD)
def test_buildspecs_that_codebuild_refuses(name: str, tmp_path: Path) -> None:
    rule, text, says = BAD[name]
    findings = found(shapes.check, tree(tmp_path, {"buildspecs/one.yml": text}))
    assert [*findings] == [rule]
    assert any(says in finding.message + finding.next_step for finding in findings[rule])
    assert findings[rule][0].line > 0 or "is missing" in says


def test_a_finding_names_the_line(tmp_path: Path) -> None:
    text = BUILDSPEC + "artifacts:\n  files: [a]\n  base-dir: x\n"
    (finding,) = shapes.check(tree(tmp_path, {"buildspecs/one.yml": text}))
    assert finding.line == text.splitlines().index("  base-dir: x") + 1


GOOD_APPSPECS = {
    "the least": APPSPEC,
    "every key of the reference": APPSPEC
    + """
file_exists_behavior: RETAIN
files:
  - { source: /, destination: /srv }
permissions:
  - { object: /srv, pattern: "*.sh", except: [a.sh], owner: root, group: root, mode: "0755", type: [file] }
  - { object: /srv, mode: 755, acls: ["u:x:rw"], context: { user: u, type: t, range: s0-s0 } }
hooks:
  ApplicationStop: [{ location: a.sh }]
  AfterInstall:
    - { location: a.sh, timeout: 1800, runas: root }
    - { location: a.sh, timeout: "1800" }
    - { location: a.sh }
  BeforeAllowTraffic: [{ location: a.sh, timeout: 3600 }]
""",
    "Windows": "version: 0.0\nos: windows\nfiles: [{ source: app, destination: 'c:\\app' }]\n",
    "a function": """
version: 0.0
Resources:
  - fn: { Type: AWS::Lambda::Function, Properties: { Name: fn, Alias: live, CurrentVersion: "1", TargetVersion: 2 } }
Hooks: [{ BeforeAllowTraffic: check }, { AfterAllowTraffic: check }]
""",
    "Amazon ECS, which is not looked at": "version: 0.0\nResources:\n  - TargetService: { Type: AWS::ECS::Service, Properties: { TaskDefinition: x } }\n",
}


@pytest.mark.parametrize("name", GOOD_APPSPECS)
def test_appspecs_that_the_agent_takes(name: str, tmp_path: Path) -> None:
    assert found(shapes.check, tree(tmp_path, {"appspecs/x/appspec.yml": GOOD_APPSPECS[name], "appspecs/x/a.sh": "#!/bin/sh\n"})) == {}


BAD_APPSPECS = {
    "a version in quotes": ("appspec-schema", APPSPEC.replace("0.0", '"0.0"'), "without quotes"),
    "a distribution for an OS": ("appspec-schema", APPSPEC.replace("linux", "ubuntu"), "linux, windows"),
    "hook for hooks": ("appspec-schema", APPSPEC + "hook: {}\n", "did you mean hooks?"),
    "a file without where to": ("appspec-schema", APPSPEC + "files: [{ source: a.sh }]\n", "destination is missing"),
    "a hook without a script": ("appspec-schema", APPSPEC + "hooks: { AfterInstall: [{ timeout: 9 }] }\n", "location is missing"),
    "a timeout of more than an hour": ("appspec-schema", APPSPEC + "hooks: { AfterInstall: [{ location: a.sh, timeout: 3601 }] }\n", "3600"),
    "a timeout in words": ("appspec-schema", APPSPEC + "hooks: { AfterInstall: [{ location: a.sh, timeout: 5m }] }\n", "a number of seconds"),
    "a type that is none": ("appspec-schema", APPSPEC + "permissions: [{ object: /x, type: [dir] }]\n", "directory"),
    "an event that is CodeDeploy's": ("appspec-hook-name", APPSPEC + "hooks: { Install: [{ location: a.sh }] }\n", "CodeDeploy's own"),
    "an event that is misspelt": ("appspec-hook-name", APPSPEC + "hooks: { AplicationStart: [{ location: a.sh }] }\n", "ApplicationStart"),
    "timeouts of more than an hour together": (
        "appspec-hook-timeout",
        APPSPEC + "hooks: { AfterInstall: [{ location: a.sh, timeout: 3000 }, { location: a.sh, timeout: 601 }] }\n",
        "3601",
    ),
    "a script that is not there": ("appspec-hook-script", APPSPEC + "hooks: { AfterInstall: [{ location: b.sh }] }\n", "appspecs/x/b.sh"),
    "a script from Windows": ("appspec-hook-line-ends", APPSPEC + "hooks: { AfterInstall: [{ location: crlf.sh }] }\n", "CR LF"),
    "a relative destination": ("appspec-destination", APPSPEC + "files: [{ source: a.sh, destination: srv }]\n", "/srv"),
    "a mode without quotes": ("appspec-mode", APPSPEC + "permissions: [{ object: /x, mode: 0640 }]\n", "416"),
    "a mode in letters": ("appspec-mode", APPSPEC + "permissions: [{ object: /x, mode: rwx }]\n", "octal"),
    "permissions on Windows": ("appspec-permissions", "version: 0.0\nos: windows\npermissions: [{ object: 'c:/x' }]\n", "Windows"),
    "a function without a version": (
        "appspec-schema",
        "version: 0.0\nResources:\n  - fn: { Type: AWS::Lambda::Function, Properties: { Name: fn, Alias: live, CurrentVersion: 1 } }\n",
        "TargetVersion is missing",
    ),
    "a server's hook for a function": (
        "appspec-schema",
        "version: 0.0\nResources:\n  - fn: { Type: AWS::Lambda::Function, Properties: { Name: fn, Alias: a, CurrentVersion: 1, TargetVersion: 2 } }\n"
        "Hooks: [{ AfterInstall: check }]\n",
        "AfterInstall",
    ),
}


@pytest.mark.parametrize("name", BAD_APPSPECS)
def test_appspecs_that_fail_on_the_host_or_do_nothing(name: str, tmp_path: Path) -> None:
    rule, text, says = BAD_APPSPECS[name]
    files = {"appspecs/x/appspec.yml": text, "appspecs/x/a.sh": "#!/bin/sh\n", "appspecs/x/crlf.sh": "#!/bin/sh\r\nexit 0\r\n"}
    findings = found(shapes.check, tree(tmp_path, files))
    assert [*findings] == [rule]
    assert any(says in finding.message + finding.next_step for finding in findings[rule])


BAD_PARAMETERS = {
    "a key that is misspelt": ("paramters: {}\n", "did you mean parameters?"),
    "an account that lost its zeros": ('account: "12345"\n', "12 digits"),
    "a Region that is none": ("regions: [us-east1]\n", "us-east-1"),
    "a Region twice": ("regions: [us-east-1, us-east-1]\n", "non-unique"),
    "a mapping for a value": ("parameters: { A: { b: c } }\n", "A"),
    "a name with a hyphen": ("parameters: { Service-Name: c }\n", "letters and digits"),
    "a tag of AWS's": ('tags: { "aws:owner": me }\n', "aws:owner"),
    "three hours and a minute": ("monitor_minutes: 181\n", "180"),
    "one wave for a list of waves": ("waves: [us-east-1]\n", "waves"),
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_parameters_files(name: str, tmp_path: Path) -> None:
    text, says = BAD_PARAMETERS[name]
    findings = found(shapes.check, tree(tmp_path, {"parameters/beta.yaml": text}))
    assert [*findings] == ["parameters-schema"]
    assert says in findings["parameters-schema"][0].message + findings["parameters-schema"][0].next_step


BAD_TASKCAT = {
    "a key that is misspelt": (TASKCAT + "    paramters: {}\n", "did you mean parameters?"),
    "no tests": ("project: { name: sample }\n", "tests is missing"),
    "a test without settings": (TASKCAT + "  two:\n", "a mapping"),
    "a name with a capital": (TASKCAT.replace("sample", "Sample"), "lower-case"),
    "an ACL that is none": (TASKCAT.replace("  name", "  s3_object_acl: secret\n  name"), "private"),
    "a Region that is none": (TASKCAT.replace("us-east-1", "everywhere"), "us-east-1"),
    "yes for true": (TASKCAT.replace("  name", '  s3_regional_buckets: "yes"\n  name'), "true or false"),
}


@pytest.mark.parametrize("name", BAD_TASKCAT)
def test_taskcat_files(name: str, tmp_path: Path) -> None:
    text, says = BAD_TASKCAT[name]
    findings = found(shapes.check, tree(tmp_path, {".taskcat.yml": text}))
    assert [*findings] == ["taskcat-schema"]
    assert says in findings["taskcat-schema"][0].message + findings["taskcat-schema"][0].next_step


def test_a_taskcat_file_that_taskcat_takes(tmp_path: Path) -> None:
    text = TASKCAT + "    regions: [eu-west-1]\n    parameters: { A: 1, B: true, C: [a, 2], D: $[taskcat_genpass_8] }\n    s3_bucket: my-bucket\n"
    assert found(shapes.check, tree(tmp_path, {".taskcat.yml": text})) == {}


def test_every_rule_is_described_and_has_a_case() -> None:
    tried = {rule for rule, _, _ in (*BAD.values(), *BAD_APPSPECS.values())} | {"parameters-schema", "taskcat-schema"}
    assert tried == set(shapes.RULES)
