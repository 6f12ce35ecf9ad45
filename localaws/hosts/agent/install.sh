#!/bin/sh
# Installs and starts the agent, as AWS-ConfigureAWSPackage does with AWSCodeDeployAgent. Running it again changes nothing.
set -eu
home=/opt/codedeploy-agent
mkdir -p "$home/bin" "$home/state/.pid" "$home/deployment-root" /var/log/aws/codedeploy-agent
cp /opt/localaws/agent/codedeploy-agent.sh "$home/bin/codedeploy-agent"
chmod 755 "$home/bin/codedeploy-agent"
"$home/bin/codedeploy-agent" start
