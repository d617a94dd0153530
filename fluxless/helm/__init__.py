"""HelmReleases: what helm-controller does alone (HR rows)."""
