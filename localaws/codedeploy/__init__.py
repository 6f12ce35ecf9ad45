"""CodeDeploy for EC2 in place, and the command service that its agents poll."""
