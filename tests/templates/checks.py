"""What must hold in every template, beyond what cfn-lint knows: one function a rule, its docstring the rule and the reason.

Each takes the whole tree of templates and yields a sentence for each fault. `bad/<name>/` holds templates that `<name>` must reject.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from template_files import Template, Tree, walk

Check = Callable[[Tree], Iterator[str]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Register a rule."""
    CHECKS[function.__name__] = function
    return function


SECTIONS = ["AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions", "Resources", "Outputs"]


@check
def sections_in_order(tree: Tree) -> Iterator[str]:
    """Sections come in the canonical order, and each template says what it is."""
    for template in tree.values():
        sections = list(template.body)
        if sections != [section for section in SECTIONS if section in sections]:
            yield f"{template.path}: sections are {', '.join(sections)}"
        if not template.body.get("Description"):
            yield f"{template.path}: no Description"


@check
def outputs_described(tree: Tree) -> Iterator[str]:
    """Each output has a reason to be there."""
    for template in tree.values():
        for name, output in template.body.get("Outputs", {}).items():
            if not output.get("Description"):
                yield f"{template.path}: output {name} has no Description"


@check
def parameters_described(tree: Tree) -> Iterator[str]:
    """Each parameter has a description; a root's has a constraint or a type that is one, and says what its pattern means."""
    for template in tree.values():
        for name, spec in template.parameters.items():
            if not spec.get("Description"):
                yield f"{template.path}: {name} has no Description"
            constrained = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue"} & set(spec) or spec["Type"].startswith("AWS::")
            if template.is_root and not constrained:
                yield f"{template.path}: {name} is not constrained"
            if "AllowedPattern" in spec and not spec.get("ConstraintDescription"):
                yield f"{template.path}: {name} has a pattern and no ConstraintDescription"
            if "AllowedPattern" in spec and not re.fullmatch(r"\^.*\$", spec["AllowedPattern"]):
                yield f"{template.path}: the pattern of {name} is not anchored at both ends"


@check
def parameters_grouped_and_labelled(tree: Tree) -> Iterator[str]:
    """A root's parameters are all in one group each, declared in the order of the groups, and labelled: the console is an interface."""
    for template in tree.values():
        if not template.is_root:
            continue
        interface = template.body.get("Metadata", {}).get("AWS::CloudFormation::Interface", {})
        grouped = [name for group in interface.get("ParameterGroups", []) for name in group["Parameters"]]
        if grouped != list(template.parameters):
            yield f"{template.path}: groups hold {grouped}, declared are {list(template.parameters)}"
        labels = interface.get("ParameterLabels", {})
        if list(labels) != list(template.parameters):
            yield f"{template.path}: labels and parameters differ in {sorted(set(labels) ^ set(template.parameters)) or 'order'}"
        yield from (f"{template.path}: {name} has an empty label" for name, label in labels.items() if not label.get("default"))
        for group in interface.get("ParameterGroups", []):
            if not group.get("Label", {}).get("default"):
                yield f"{template.path}: a group has no label"


@check
def shared_parameters_have_one_spec(tree: Tree) -> Iterator[str]:
    """A parameter that several templates share has one type and one constraint everywhere, so that a value never fails halfway down."""
    seen: dict[str, tuple[Template, dict[str, object]]] = {}
    for template in tree.values():
        for name, spec in template.parameters.items():
            constraint = {key: value for key, value in spec.items() if key not in ("Description", "Default")}
            first, expected = seen.setdefault(name, (template, constraint))
            if constraint != expected:
                yield f"{template.path}: {name} is {constraint}, in {first.path} it is {expected}"


STATEFUL = {"AWS::CloudFormation::Stack", "AWS::DynamoDB::Table", "AWS::ECR::Repository", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::S3::Bucket"}


@check
def stateful_resources_say_what_becomes_of_them(tree: Tree) -> Iterator[str]:
    """What holds state says what becomes of it, when deleted and when replaced; only nested stacks go with their parent."""
    for template in tree.values():
        for name, resource in template.resources(*STATEFUL):
            nested = resource["Type"] == "AWS::CloudFormation::Stack"
            wanted = ("Delete", "Delete") if nested else ("RetainExceptOnCreate", "Retain")
            said = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
            if said != wanted:
                yield f"{template.path}: {name} says {said}, not {wanted}"


@check
def nothing_that_a_rollback_needs_expires(tree: Tree) -> Iterator[str]:
    """Buckets are versioned, repositories immutable, and nothing expires but what the rollback function tagged superseded, and what canaries leave."""
    for template in tree.values():
        for name, bucket in template.resources("AWS::S3::Bucket"):
            properties = bucket.get("Properties", {})
            if properties.get("VersioningConfiguration") != {"Status": "Enabled"}:
                yield f"{template.path}: {name} is not versioned"
            for rule in properties.get("LifecycleConfiguration", {}).get("Rules", []):
                tagged = rule.get("TagFilters") == [{"Key": "handsoff", "Value": "superseded"}]
                of_canaries = rule.get("Prefix") == "canary/"
                if set(rule) - {"Id", "Status", "AbortIncompleteMultipartUpload"} and not (tagged or of_canaries):
                    yield f"{template.path}: {name} expires objects: {sorted(rule)}"
        for name, repository in template.resources("AWS::ECR::Repository"):
            properties = repository.get("Properties", {})
            if "LifecyclePolicy" in properties:
                yield f"{template.path}: {name} has a lifecycle policy, which does not know what is deployed"
            if properties.get("ImageTagMutability") != "IMMUTABLE":
                yield f"{template.path}: tags of {name} can be moved"


@check
def wildcards_have_reasons(tree: Tree) -> Iterator[str]:
    """A policy's bare `*`, as resource or as all actions of a service, has its reason in the comment just above it."""
    for template in tree.values():
        lines = template.text.splitlines()
        for number, line in enumerate(lines, 1):
            bare = re.match(r"\s*(?:- |(?:NotResource|Resource|Action|NotAction): )['\"]?(?:\*|[a-z0-9-]+:\*)['\"]?\s*$", line)
            if bare and not lines[number - 2].lstrip().startswith("#"):
                yield f"{template.path}:{number}: {line.strip()} has no reason above it"
            if re.search(r"\[['\"]\*['\"]\]", line):
                yield f"{template.path}:{number}: write the '*' on a line of its own, with its reason above it"


@check
def services_are_trusted_for_this_account_alone(tree: Tree) -> Iterator[str]:
    """A role that a service assumes asks for aws:SourceAccount, or another account could point the service at it; one for an account, for its roles.

    EC2 passes none; Lambda and EventBridge are not documented to for roles that they assume, and take a role from its own account only (iam:PassRole).
    """
    for template in tree.values():
        for name, role in template.resources("AWS::IAM::Role"):
            for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
                principal, condition = statement.get("Principal", {}), statement.get("Condition", {})
                if principal in [{"Service": f"{service}.amazonaws.com"} for service in ("ec2", "events", "lambda")]:
                    continue
                if set(principal) == {"AWS"}:
                    if "aws:PrincipalArn" not in condition.get("ArnLike", {}):
                        yield f"{template.path}: {name} trusts every role of {principal}"
                elif condition.get("StringEquals", {}).get("aws:SourceAccount") != {"Ref": "AWS::AccountId"}:
                    yield f"{template.path}: {name} trusts {principal} for any account"


@check
def template_urls_are_relative(tree: Tree) -> Iterator[str]:
    """A nested template is named by its path from its parent, so that cfn-lint looks into it and any packager finds it."""
    for template in tree.values():
        for name, stack in template.resources("AWS::CloudFormation::Stack"):
            url = stack["Properties"]["TemplateURL"]
            if not isinstance(url, str) or template.path.parent / url not in tree:
                yield f"{template.path}: TemplateURL of {name} names no template beside it: {url}"


@check
def children_are_wired(tree: Tree) -> Iterator[str]:
    """A nested stack gets all of its template's parameters by name and no others, and only outputs that exist are taken from it."""
    for template in tree.values():
        children = {}
        for name, stack in template.resources("AWS::CloudFormation::Stack"):
            url = stack["Properties"]["TemplateURL"]
            child = tree.get(template.path.parent / url) if isinstance(url, str) else None
            if child is None:
                continue
            children[name] = child
            given = set(stack["Properties"].get("Parameters", {}))
            if given != set(child.parameters):
                extra, missing = sorted(given - set(child.parameters)), sorted(set(child.parameters) - given)
                yield f"{template.path}: {name} is given {extra} too many, {missing} too few"
        for name, attribute in _attributes(template):
            if name in children and attribute.removeprefix("Outputs.") not in children[name].body.get("Outputs", {}):
                yield f"{template.path}: {children[name].path} has no output for {name}.{attribute}"
        taken = set(_attributes(template))
        for name, child in children.items():
            others = [other for other, sibling in children.items() if sibling is child]
            for output in child.body.get("Outputs", {}):
                if not any((other, f"Outputs.{output}") in taken for other in others):
                    yield f"{template.path}: nothing takes the output {output} of {name}"


def _attributes(template: Template) -> Iterator[tuple[str, str]]:
    """Logical id and attribute of each !GetAtt, and of each ${Id.Attribute} in a !Sub."""
    for value in walk(template.body):
        if isinstance(value, dict) and "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0], value["Fn::GetAtt"][1]
        if isinstance(value, dict) and "Fn::Sub" in value:
            text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
            yield from re.findall(r"\$\{(\w+)\.([\w.]+)\}", text)


@check
def roots_only_wire(tree: Tree) -> Iterator[str]:
    """A root with children holds nothing but them."""
    for template in tree.values():
        types = {resource["Type"] for _, resource in template.resources()}
        if template.is_root and "AWS::CloudFormation::Stack" in types and len(types) > 1:
            yield f"{template.path}: holds {sorted(types)}"


@check
def children_fit_on_a_page(tree: Tree) -> Iterator[str]:
    """A child is one concern: over 400 lines it is two."""
    for template in tree.values():
        lines = len(template.text.splitlines())
        if not template.is_root and lines > 400:
            yield f"{template.path}: {lines} lines"


NAMED = {
    "AWS::CloudWatch::CompositeAlarm": "what pages and what rolls back finds it by its name",
    "AWS::CloudWatch::Dashboard": "people type it",
    "AWS::CodeConnections::Connection": "the type asks for a name",
    "AWS::CodePipeline::Pipeline": "the functions know it by its name before it is made",
    "AWS::SSM::Parameter": "the path is what the app is configured by",
    "AWS::Synthetics::Canary": "the type asks for a name",
}
NAMES = {"AlarmName", "ApplicationName", "AssociationName", "AutoScalingGroupName", "BucketName", "ConnectionName", "DashboardName"}
NAMES |= {"DeploymentConfigName", "DeploymentGroupName", "FunctionName", "GroupName", "InstanceProfileName", "LaunchTemplateName", "LogGroupName"}
NAMES |= {"Name", "ParameterName", "RepositoryName", "RoleName", "RuleName", "TableName", "TopicName"}
REFERS = {
    ("AWS::CodeDeploy::DeploymentGroup", "ApplicationName"),
    ("AWS::CodeDeploy::DeploymentGroup", "DeploymentConfigName"),
    ("AWS::Lambda::Permission", "FunctionName"),
    ("AWS::SSM::Association", "Name"),
}
# One resource of one template: its name is written into parameters/ and ~/.aws/config before it is there.
NAMED_ONCE = {("deployer.yaml", "Deployer", "RoleName")}


@check
def no_physical_names(tree: Tree) -> Iterator[str]:
    """CloudFormation names resources, so that they can be replaced and kept; a contract's names are listed here with their reason."""
    for template in tree.values():
        for name, resource in template.resources():
            kind = resource["Type"]
            for key in NAMES & set(resource.get("Properties", {})):
                if kind not in NAMED and (kind, key) not in REFERS and (str(template.path), name, key) not in NAMED_ONCE:
                    yield f"{template.path}: {name} has a {key} of its own"


@check
def suppressions_sit_on_a_resource_with_a_reason(tree: Tree) -> Iterator[str]:
    """A linter's rule is switched off where it is wrong and nowhere else, and the line above says why."""
    for template in tree.values():
        if "cfn-lint" in template.body.get("Metadata", {}):
            yield f"{template.path}: a suppression for the whole template"
        lines = template.text.splitlines()
        for number, line in enumerate(lines, 1):
            for rule in re.findall(r"\b[EWI]\d{4}\b", line.split("#")[0] if "ignore_checks" in line else ""):
                if not re.match(rf"\s*# {rule}: \S", lines[number - 2]):
                    yield f"{template.path}:{number}: no reason for {rule} above it"


@check
def no_yaml_aliases(tree: Tree) -> Iterator[str]:
    """CloudFormation does not read YAML's anchors, aliases and merge keys; a packager that rewrites YAML hides that."""
    for template in tree.values():
        for number, line in enumerate(template.text.splitlines(), 1):
            if not line.lstrip().startswith("#") and re.search(r"(^|[:\-\[,{]\s+)[&*][A-Za-z_]\w*\s*($|[,\]}])|<<:", line):
                yield f"{template.path}:{number}: {line.strip()}"


@check
def alarms_say_what_they_protect(tree: Tree) -> Iterator[str]:
    """An alarm says what it protects, what missing data means, M of N, and looks each minute, which is what AWS's metrics have."""
    for template in tree.values():
        for name, alarm in template.resources("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
            properties = alarm["Properties"]
            if "Protects " not in str(properties.get("AlarmDescription", "")):
                yield f"{template.path}: {name} does not say what it protects"
            if alarm["Type"] == "AWS::CloudWatch::CompositeAlarm":
                continue
            for key in ("TreatMissingData", "EvaluationPeriods", "DatapointsToAlarm"):
                if key not in properties:
                    yield f"{template.path}: {name} has no {key}"
            periods = [properties["Period"]] if "Period" in properties else []
            periods += [query["MetricStat"]["Period"] for query in properties.get("Metrics", []) if "MetricStat" in query]
            if not periods or set(periods) != {60}:
                yield f"{template.path}: {name} looks each {periods} seconds"
            if str(properties.get("ExtendedStatistic", "")).startswith("p") and "EvaluateLowSampleCountPercentile" not in properties:
                yield f"{template.path}: {name} does not say what a percentile of few samples means"


@check
def composites_hold_every_metric_alarm(tree: Tree) -> Iterator[str]:
    """A template's composite rises with each of its metric alarms, and so does what the deployment group is given."""
    for template in tree.values():
        alarms = {name for name, _ in template.resources("AWS::CloudWatch::Alarm")}
        for name, composite in template.resources("AWS::CloudWatch::CompositeAlarm"):
            texts = [part for part in walk(composite["Properties"]["AlarmRule"]) if isinstance(part, str)]
            named = {name for text in texts for name in re.findall(r'ALARM\("\$\{(\w+)\}"\)', text)}
            # Composites of other templates come as parameters.
            named -= set(template.parameters)
            if named != alarms:
                yield f"{template.path}: {name} and the metric alarms differ in {sorted(named ^ alarms)}"


@check
def auto_scaling_groups_are_never_replaced(tree: Tree) -> Iterator[str]:
    """Hosts of a new group would come up empty: a group rolls inside itself, waits for signals, and judges hosts by EC2 alone."""
    for template in tree.values():
        for name, group in template.resources("AWS::AutoScaling::AutoScalingGroup"):
            if "ResourceSignal" not in group.get("CreationPolicy", {}):
                yield f"{template.path}: {name} has no CreationPolicy with signals"
            update = group.get("UpdatePolicy", {})
            if update.get("AutoScalingRollingUpdate", {}).get("WaitOnResourceSignals") is not True:
                yield f"{template.path}: {name} does not roll on signals"
            if "AutoScalingReplacingUpdate" in update or "AutoScalingGroupName" in group["Properties"]:
                yield f"{template.path}: {name} can be replaced"
            if group["Properties"].get("HealthCheckType") != "EC2":
                yield f"{template.path}: {name} would replace hosts that have no release yet"


@check
def hosts_are_closed(tree: Tree) -> Iterator[str]:
    """Hosts ask for their credentials by IMDSv2 at one hop, are measured each minute, have encrypted disks and no SSH key."""
    for template in tree.values():
        for name, launch in template.resources("AWS::EC2::LaunchTemplate"):
            data = launch["Properties"]["LaunchTemplateData"]
            options = data.get("MetadataOptions", {})
            if (options.get("HttpTokens"), options.get("HttpPutResponseHopLimit")) != ("required", 1):
                yield f"{template.path}: {name} gives credentials to more than the host"
            if data.get("Monitoring") != {"Enabled": True}:
                yield f"{template.path}: {name} has five-minute metrics"
            if "KeyName" in data:
                yield f"{template.path}: {name} has a key pair"
            disks = data.get("BlockDeviceMappings", [])
            if not disks or not all(disk.get("Ebs", {}).get("Encrypted") is True for disk in disks):
                yield f"{template.path}: {name} has a disk that is not encrypted"


EVENTS = {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"}


@check
def deployment_groups_come_back(tree: Tree) -> Iterator[str]:
    """A group deploys in place behind its target group, zone by zone, stops on alarm, and rolls back on whatever fails."""
    for template in tree.values():
        zonal = {name for name, config in template.resources("AWS::CodeDeploy::DeploymentConfig") if "ZonalConfig" in config["Properties"]}
        for name, group in template.resources("AWS::CodeDeploy::DeploymentGroup"):
            properties = group["Properties"]
            style = properties.get("DeploymentStyle", {})
            if (style.get("DeploymentType"), style.get("DeploymentOption")) != ("IN_PLACE", "WITH_TRAFFIC_CONTROL"):
                yield f"{template.path}: {name} does not control traffic"
            if not properties.get("LoadBalancerInfo", {}).get("TargetGroupInfoList"):
                yield f"{template.path}: {name} has no target group"
            alarms = properties.get("AlarmConfiguration", {})
            if not (alarms.get("Enabled") and alarms.get("Alarms")) or alarms.get("IgnorePollAlarmFailure") is not False:
                yield f"{template.path}: {name} does not stop on alarm"
            rollback = properties.get("AutoRollbackConfiguration", {})
            if rollback.get("Enabled") is not True or set(rollback.get("Events", [])) != EVENTS:
                yield f"{template.path}: {name} does not roll back on {sorted(EVENTS - set(rollback.get('Events', [])))}"
            if properties.get("DeploymentConfigName", {}).get("Ref") not in zonal:
                yield f"{template.path}: {name} does not go zone by zone"
            if "Deployment" in properties:
                yield f"{template.path}: {name} would deploy when the stack does"
