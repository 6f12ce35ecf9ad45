"""The CodeDeploy agent of the local AWS's hosts: speaks the command protocol of AWS's own agent (version 1.8), in standard Python.

It runs inside a host as `python3 -m agent` (only PyYAML beside the standard library). Behaviour, paths, codes and messages follow
https://github.com/aws/aws-codedeploy-agent; differences are in docs/local-aws.md, Hosts.
"""
