"""CloudWatch Synthetics: canaries in Python that are really run, on their schedule, in one container on the hosts' network."""
