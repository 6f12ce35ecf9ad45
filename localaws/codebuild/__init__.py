"""AWS CodeBuild: builds of a buildspec, each in a container of its own with a Docker engine in it."""
