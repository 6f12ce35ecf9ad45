"""Service Quotas: the default quotas that a deploy asks about."""
