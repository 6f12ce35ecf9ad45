"""Elastic Container Registry: who may push and pull; repositories and images themselves are MiniStack's."""
