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
PIPELINE = ("codepipeline:GetPipeline", "codepipeline:ListPipelineExecutions")

STATUS = (*STACKS, *NAME, *LEDGER, *RUNNING, *PIPELINE, "codepipeline:GetPipelineState", "cloudwatch:DescribeAlarms")
HISTORY = (*STACKS, *NAME, "dynamodb:Query", "dynamodb:BatchGetItem", *PIPELINE, "codepipeline:ListActionExecutions")
# What it takes to work a plan out; making the change set instead takes more than reading.
PLAN = (*STACKS, *NAME, "cloudformation:GetTemplate", "cloudformation:ListStackResources")
