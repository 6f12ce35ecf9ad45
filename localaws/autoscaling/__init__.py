"""Auto Scaling: groups that keep their count of instances, with lifecycle hooks, health replacement and target groups."""
