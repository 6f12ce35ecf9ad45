"""The machines of the local AWS: Docker containers with an engine, a metadata service and an agent of their own."""
