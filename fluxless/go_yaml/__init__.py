"""YAML as the Kubernetes tools of Go read and write it, neither YAML 1.1 nor 1.2: no dates, no base 60, `1e3` a number.

Everything that others write comes in by `load`, `load_all` or `fields`: values, manifests, kustomization files, charts,
indexes, kubeconfigs. Everything that Go will read goes out by `dump`. Pure; `tests/parity/yamlgo` compares with Go.
"""

from fluxless.go_yaml.build import ManifestProblem
from fluxless.go_yaml.read import Source, apart, fields, load, load_all, split
from fluxless.go_yaml.scalars import text_of
from fluxless.go_yaml.write import WIDE, dump

__all__ = ["WIDE", "ManifestProblem", "Source", "apart", "dump", "fields", "load", "load_all", "split", "text_of"]
