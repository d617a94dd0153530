"""Turns sources into manifests: the kustomize binary, YAML as Kubernetes reads it, and the cache of both."""
