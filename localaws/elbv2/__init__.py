"""Elastic Load Balancing (application load balancers): records, target health, and an haproxy in Docker per load balancer."""
