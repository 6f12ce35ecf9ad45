"""Source, CodeStarSourceConnection: the files of a commit, through a connection, into the artifact store.

Source: AWS CodePipeline User Guide, "CodeStarSourceConnection for Bitbucket Cloud, GitHub, … actions" (variables, configuration).
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from localaws.codepipeline import artifacts
from localaws.codepipeline.actions.base import Work
from localaws.codepipeline.engine import Observation, failed
from localaws.service import ServiceError

USE_CONNECTION = ("codestar-connections:UseConnection", "codeconnections:UseConnection")
"""Policies in use name either prefix: the service was renamed in 2024 and both are taken."""
ACL = "bucket-owner-full-control"
"""The artifact is put with an ACL, so that the role is asked for s3:PutObjectAcl, too. Which ACL no document says; a bucket without ACLs takes this one
(https://github.com/aws/aws-cdk/issues/13557, https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-ownership-error-responses.html)."""


class ConnectionSource:
    """Takes the branch's newest commit, or the one that the execution was started for."""

    def start(self, work: Work) -> Observation:
        """Do all of it: the archive is put before this returns."""
        connections: Any = work.aws.services["codeconnections"]
        arn, repository = work.configuration["ConnectionArn"], work.configuration["FullRepositoryId"]
        branch = work.configuration["BranchName"]
        if refusal := self._refused(work, arn, repository, branch):
            return failed("PermissionError", (f"Unable to use Connection: {arn}. The provided role does not have sufficient "
                                              f"permissions. {refusal}"))
        connection = connections.find(arn)
        if connection is None:
            return failed("ConfigurationError", f"Unable to use Connection: {arn}. Connection not found.")
        if connection["ConnectionStatus"] != "AVAILABLE":
            return failed("ConfigurationError", (f"Unable to use Connection: {arn}. Connection {connection['ConnectionName']} is not "
                                                 f"available: its status is {connection['ConnectionStatus']}. Complete it in the console."))
        git = connections.repositories
        commit = git.commit(repository, work.revision or f"refs/heads/{branch}") if git.exists(repository) else None
        if commit is None:
            return failed("ConfigurationError", (f"[{connection['ProviderType']}] No Branch [{branch}] found for FullRepositoryName "
                                                 f"[{repository}]"))
        name = work.outputs[0]
        key = artifacts.new_key(work.pipeline, name)
        try:
            # MiniStack's S3 does not ask for it.
            work.aws.authorize(artifacts.role_context(work.clients, work.region), "s3:PutObjectAcl", f"arn:aws:s3:::{work.bucket}/{key}")
            artifacts.put(work.clients, work.region, work.bucket, key, git.archive(repository, commit.id), work.encryption_key, ACL)
        except (ClientError, ServiceError) as error:
            if not artifacts.denied(error):
                raise
            return failed("PermissionError", (
                f"[{connection['ProviderType']}] Upload to S3 failed with the following error: {artifacts.message_of(error)}"))
        return Observation(
            "Succeeded", external_id=commit.id, summary=commit.message.splitlines()[0] if commit.message else "",
            external_url=f"https://github.com/{repository}/commit/{commit.id}", outputs={name: {"bucket": work.bucket, "key": key}},
            variables={"CommitId": commit.id, "BranchName": branch, "CommitMessage": commit.message, "FullRepositoryName": repository,
                       "AuthorDate": commit.date, "AuthorId": "", "AuthorEmail": commit.email, "AuthorDisplayName": commit.author,
                       "ConnectionArn": arn},
            revision={"revisionId": commit.id,
                      "revisionSummary": json.dumps({"ProviderType": connection["ProviderType"], "CommitMessage": commit.message}),
                      "revisionUrl": f"https://github.com/{repository}/commit/{commit.id}"})

    def poll(self, work: Work) -> Observation:
        """Never asked: `start` ends the action."""
        return self.start(work)

    def _refused(self, work: Work, arn: str, repository: str, branch: str) -> str | None:
        """AWS's words if the role may not use the connection, else None."""
        who = artifacts.role_context(work.clients, work.region)
        words = ""
        for action in USE_CONNECTION:
            prefix = action.partition(":")[0]
            try:
                work.aws.authorize(who, action, arn, {f"{prefix}:FullRepositoryId": repository, f"{prefix}:BranchName": branch,
                                                      f"{prefix}:ProviderAction": "GetBranch"})
                return None
            except ServiceError as error:
                words = error.message
        return words
