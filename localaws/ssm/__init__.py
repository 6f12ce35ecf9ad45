"""Systems Manager's associations, in front of MiniStack's ssm: the one document played is the installation of the CodeDeploy agent."""
