"""What CloudFormation's resource handlers call for the types that the templates use, and which of it the deployer is not given, with the reason."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

_TYPE = re.compile(r"^    Type: (AWS::\w+::\w+)$", re.MULTILINE)


def handler_permissions(folder: Path) -> dict[str, set[str]]:
    """Every action that the handlers of create, read, update and delete ask for, with the resource types; those of templates/deployer.yaml left out.

    Source: the resource types' schemas as the CloudFormation registry publishes them (DescribeType, `handlers.*.permissions`), which cfn-lint carries.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path in folder.rglob("*.yaml"):
        for kind in set(_TYPE.findall(path.read_text(encoding="utf-8"))) if path.name != "deployer.yaml" else ():
            handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get("handlers") or {}
            for name, handler in handlers.items():
                if name != "list":  # for enumerating an account, which no stack does
                    for action in handler.get("permissions") or ():
                        found[action].add(kind)
    return dict(found)


def needed(folder: Path) -> dict[str, set[str]]:
    """Those of them that the templates need: all but what NOT_NEEDED has a reason for."""
    return {action: types for action, types in handler_permissions(folder).items() if not any(re.fullmatch(pattern, action) for pattern in NOT_NEEDED)}


# Pattern of actions → why a handler that names them gets along without them here. Each is of a property that no template has, unless it says otherwise.
NOT_NEEDED = {
    r"autoscaling:(Attach|Detach)LoadBalancers": "classic load balancers",
    r"autoscaling:(Cancel|Start)InstanceRefresh": "instance refreshes: UpdatePolicy replaces hosts by rolling updates",
    r"autoscaling:(Put|Delete)LifecycleHook": "LifecycleHookSpecificationList: CodeDeploy puts its own hooks, as itself",
    r"autoscaling:(Put|Delete)NotificationConfiguration": "NotificationConfigurations",
    r"autoscaling:(Enable|Disable)MetricsCollection": "MetricsCollection",
    r"ec2:Get\*|ssm:Get\*": "images by parameter and instance types by requirement: launch templates name both",
    r"managed-fleets:.*": "fleets of AWS's own making",
    r"vpc-lattice:.*|vpce:AllowMultiRegion": "VPC Lattice and endpoints into other Regions",
    r"cloudformation:SetStackPolicy": "a nested stack's own policy",
    r"codedeploy:(CreateDeployment|StopDeployment|GetApplicationRevision|RegisterApplicationRevision|RegisterOnPremisesInstance)":
        "Deployment and on-premises instances: releases are the pipeline's",
    r"cognito-idp:.*": "listeners that log users in",
    r"dynamodb:(AssociateTableReplica|CreateTableReplica|ImportTable)": "global tables and imports",
    r"dynamodb:(BatchWriteItem|DeleteItem|GetItem|PutItem|Query|Scan|UpdateItem)": "replicas and imports: the records are the functions'",
    r"dynamodb:((Enable|Disable)KinesisStreamingDestination|UpdateKinesisStreamingDestination)|kinesis:.*": "KinesisStreamSpecification",
    r"dynamodb:(Put|Delete)ResourcePolicy": "ResourcePolicy",
    r"dynamodb:UpdateContributorInsights": "ContributorInsightsSpecification",
    r"dynamodb:UpdateTimeToLive": "TimeToLiveSpecification",
    r"ec2:(AcceptAddressTransfer|AssociateAddress)": "addresses that are transferred, or given to an instance",
    r"ec2:(Associate|Disassociate)(NatGatewayAddress|SubnetCidrBlock)|ec2:(Assign|Unassign)PrivateNatGatewayAddress": "further addresses",
    r"ec2:(Attach|Detach)VpnGateway": "VPN gateways",
    r"ec2:(CreateVpcEncryptionControl|ModifyVpcTenancy)": "VPC encryption controls and tenancy",
    r"ecr:(Put|Delete)LifecyclePolicy": "LifecyclePolicy: nothing expires that a rollback may need",
    r"elasticfilesystem:.*|s3files:.*": "file systems of functions",
    r"elasticloadbalancing:(De)?[Rr]egisterTargets": "Targets: Auto Scaling registers hosts, as itself",
    r"elasticloadbalancing:(ModifyCapacityReservation|ModifyIpPools|SetIpAddressType)": "capacity, IP pools and address type",
    r"firehose:.*|logs:CreateLogDelivery|s3:REST\.PUT\.OBJECT": "deliveries of logs",
    r"logs:(CreateLogStream|DescribeLogStreams|PutLogEvents)": "a table's import",
    r"logs:(Put|Delete)(DataProtectionPolicy|IndexPolicy|ResourcePolicy)|logs:PutBearerTokenAuthentication": "policies of log groups",
    r"logs:((Dis)?[Aa]ssociateKmsKey|PutLogGroupDeletionProtection)": "KmsKeyId and DeletionProtectionEnabled",
    r"kms:(Enable|Disable)Key": "Enabled",
    r"kms:(Encrypt|GenerateDataKeyWithoutPlaintext|ListAliases|RevokeGrant)": "keys of the customer's for functions, canaries and tables",
    r"lambda:(GetCodeSigningConfig|(Put|Delete)FunctionCodeSigningConfig)": "CodeSigningConfigArn",
    r"lambda:((Put|Delete)FunctionConcurrency|PutFunctionScalingConfig|PassCapacityProvider)": "reserved concurrency and capacity",
    r"lambda:(AssociateRuntimeAlias|PutRuntimeManagementConfig|PutFunctionRecursionConfig)": "RuntimeManagementConfig and RecursiveLoop",
    r"lambda:GetLayerVersionByArn": "layers by ARN: Synthetics' own is read by name",
    r"resource-groups:.*|ssm:GetCalendarState": "associations with resource groups and calendars",
    r"s3:(Create|Delete|Update)BucketMetadata.*|s3tables:.*": "metadata tables",
    r"s3:DeleteBucket(AnalyticsConfiguration|Cors|MetricsConfiguration|Replication|Website)": "properties that were never there",
    r"s3:DeleteBucket(Encryption|Lifecycle)|s3:PutBucketEncryption|s3:GetObjectMetadata":
        "no actions of IAM's: the Put…Configuration actions, and GetObject, cover them",
    r"s3:(PutAccelerateConfiguration|PutAnalyticsConfiguration|PutIntelligentTieringConfiguration|PutInventoryConfiguration|PutMetricsConfiguration)":
        "the settings of those names",
    r"s3:Put(Bucket)?(Abac|Acl|CORS|Logging|Notification|Website|Replication|ReplicationConfiguration|ObjectLockConfiguration|ObjectAcl)":
        "the settings of those names",
    r"s3:(DeleteObject|GetObjectVersion)": "object lock, and code by version",
    r"sns:PutDataProtectionPolicy": "DataProtectionPolicy",
    r"synthetics:(ReplicateCanary|StartCanaryDryRun)": "canaries in several Regions, and dry runs",
}
