"""What the commands share: small modules, decisions apart from calls."""
