"""What the demonstration is made of: a repository to push to, traffic, an execution to follow, a summary. The end-to-end tests use it too."""
