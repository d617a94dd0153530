"""Helm charts as files: the index of a repository, versions, the content of a chart."""
