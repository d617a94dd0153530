"""Git repositories on the test server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.gitserver import GitServer
from tools.sample import Repository


def config_map(name: str, value: str = "1", **metadata: str) -> str:
    """The YAML of a ConfigMap; `metadata` are annotations with `_` for `/` left out."""
    annotations = "".join(f'\n    {key}: "{text}"' for key, text in metadata.items())
    block = f"\n  annotations:{annotations}" if annotations else ""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}{block}\ndata:\n  value: '{value}'\n"


def deployment(name: str, *, fails: bool = False, replicas: int = 1, deadline: int = 600) -> str:
    """The YAML of a Deployment whose pods run on the simulated node, or never do."""
    node = "\n      nodeSelector: {nowhere: 'true'}" if fails else ""
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n"
        f"  progressDeadlineSeconds: {deadline}\n"
        f"  selector:\n    matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n"
        f"    spec:{node}\n      containers:\n        - name: main\n          image: example/{name}:1\n"
    )


class Repo:
    """A work tree with its bare repository on the server."""

    def __init__(self, server: GitServer, folder: Path, name: str) -> None:
        self.url = f"{server.url}/{name}.git"
        self.bare = server.root / f"{name}.git"
        self.work = folder / name
        self._repository = Repository(self.work, self.bare)
        self._created = False

    def push(self, files: Mapping[str, str | None], message: str = "a change") -> str:
        """Write files (None deletes one), commit and push; the commit."""
        if not self._created:
            self._created = True
            self._repository.create({name: text for name, text in files.items() if text is not None}, message)
            return self._repository.head()
        for name, text in files.items():
            if text is None:
                self._repository.remove(name)
            else:
                self._repository.write(name, text)
        return self._repository.commit(message)

    @property
    def head(self) -> str:
        """The id of the last commit."""
        return self._repository.head()

    def git(self, *arguments: str, **environment: str) -> str:
        """Any other command in the work tree."""
        return self._repository.git(*arguments, environment=environment)

    def git_in(self, folder: Path, *arguments: str) -> str:
        """A git command somewhere else."""
        return self._repository.git(*arguments, cwd=folder)
