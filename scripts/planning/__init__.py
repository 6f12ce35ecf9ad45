"""What a deploy would change, from a change set or, with read-only rights, worked out from templates and the registry's schemas."""
