"""The IAM actions that the commands call which only read: all that their caller needs. What is missing is named, and the rest is shown.

A bundle lies in the release store, encrypted: s3:GetObjectVersion (s3:GetObject for a revision without a version) needs kms:Decrypt on the store's key.
For an environment in another account, sts:AssumeRole of the role that its parameters file names.
"""

from __future__ import annotations

STACKS = ("cloudformation:DescribeStacks",)
# Nice to have: the account's name in the first line.
NAME = ("iam:ListAccountAliases",)
LEDGER = ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:BatchGetItem")
RUNNING = ("codedeploy:GetDeploymentGroup", "codedeploy:GetDeployment", "codedeploy:ListDeploymentTargets", "codedeploy:BatchGetDeploymentTargets",
           "s3:GetObjectVersion")
# The hosts before any deployment has reached them.
HOSTS = ("autoscaling:DescribeAutoScalingGroups",)
PIPELINE = ("codepipeline:GetPipeline", "codepipeline:ListPipelineExecutions")

STATUS = (*STACKS, *NAME, *LEDGER, *RUNNING, *HOSTS, *PIPELINE, "codepipeline:GetPipelineState", "cloudwatch:DescribeAlarms")
HISTORY = (*STACKS, *NAME, "dynamodb:Query", "dynamodb:BatchGetItem", *PIPELINE, "codepipeline:ListActionExecutions")
# What it takes to work a plan out; making the change set instead takes more than reading.
PLAN = (*STACKS, *NAME, "cloudformation:GetTemplate", "cloudformation:ListStackResources")
# Without any of these the rest is still looked at. A certificate, a network, a connection only where the parameters name one.
DOCTOR = (*STACKS, *NAME, "ec2:DescribeAvailabilityZones", "ec2:DescribeRegions", "servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota",
          "ec2:DescribeAddresses", "ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeNatGateways", "ec2:DescribeInstances",
          "elasticloadbalancing:DescribeLoadBalancers", "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings",
          "ec2:GetEbsDefaultKmsKeyId", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListGrants", "ssm:ListDocumentVersions", "ssm:GetParameters",
          "cloudwatch:DescribeAlarms", "cloudwatch:ListDashboards", "synthetics:GetCanary", "synthetics:DescribeRuntimeVersions",
          "acm:DescribeCertificate", "codeconnections:GetConnection", "codeconnections:ListConnections", "codedeploy:ListDeploymentConfigs",
          "iam:GetRole", "iam:GetPolicy", "iam:SimulatePrincipalPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketOwnershipControls")
