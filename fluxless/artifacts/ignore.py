"""What is left out of an artifact: Flux's default list, `.sourceignore` files and `spec.ignore` (SC-10). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fluxless.patterns import IgnoreRules

FILE = ".sourceignore"
VERSION_CONTROL = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
"""Left out of every artifact."""
DEFAULTS = (
    *("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"),
    *(".github/", ".circleci/", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml", "cloudbuild.yaml"),
    *("codeship-services.yml", "codeship-steps.yml"),
    *("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml"),
)
"""Left out unless the user says anything about it (SC-11)."""


class Ignore:
    """Decides by path, relative to the root of the source. `files` are the `.sourceignore` files by folder ("" is the
    root); `spec` is `spec.ignore`, which comes last. Either replaces the defaults (SC-11). Raises `TooMuchToMatch`.
    """

    def __init__(self, files: Mapping[str, str], spec: str | None = None) -> None:
        lines = [*VERSION_CONTROL, *(() if files or spec is not None else DEFAULTS)]
        for folder in sorted(files):
            lines += [_below(folder, line) for line in files[folder].splitlines()]
        if spec is not None:
            lines += spec.splitlines()
        self._rules = IgnoreRules(lines)

    def leaves_out(self, path: str) -> bool:
        """Whether the file at this path stays out of the artifact; blocking. Raises `TooMuchToMatch`."""
        return self._rules.match(path)


def _below(folder: str, line: str) -> str:
    """A pattern of a `.sourceignore` in a folder counts for that folder only."""
    text = line.strip()
    if not folder or not text or text.startswith("#"):
        return line
    negated, pattern = ("!", text[1:]) if text.startswith("!") else ("", text)
    anchored = "/" in pattern.rstrip("/")
    return f"{negated}/{folder}/{pattern.lstrip('/')}" if anchored else f"{negated}/{folder}/**/{pattern}"
