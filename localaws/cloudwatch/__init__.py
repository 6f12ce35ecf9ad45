"""CloudWatch: samples of metrics for three hours, metric math, metric and composite alarms with their history and actions."""
