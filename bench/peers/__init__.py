"""The peers: how each is started and driven. A module each; none knows another."""
