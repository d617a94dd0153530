"""A real control plane on this machine: etcd, kube-apiserver, controller manager, scheduler, and kwok as a node."""
