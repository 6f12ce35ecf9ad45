"""EC2's instances, in front of MiniStack's ec2: every instance is a host container; networks and launch templates stay MiniStack's."""
