"""CloudFormation: stacks flat and nested, change sets, and the resource types that are made through the other services."""
