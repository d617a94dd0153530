"""The front desk: plans a cluster, reconciles what a plan found, takes in webhooks."""
