"""What Flux's kustomize-controller does alone: build a path of an artifact, substitute, apply, check, prune."""
