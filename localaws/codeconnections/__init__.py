"""AWS CodeConnections: connections to a code provider, behind which stand bare git repositories of this machine."""
