"""Turns sources into manifests: kustomize, helm, sops and notation, and the cache of what they make."""
