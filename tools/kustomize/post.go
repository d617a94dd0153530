package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

const hook = "helm.sh/hook"

// task is what a HelmRelease says should happen to what its chart renders (HR-30..32, HR-73).
type task struct {
	Kustomize   []change          `json:"kustomize"`
	Strategy    string            `json:"strategy"` // combined, separate or nohooks
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type change struct {
	Patches []struct {
		Patch  string    `json:"patch"`
		Target *selector `json:"target"`
	} `json:"patches"`
	Images []types.Image `json:"images"`
}

type selector struct {
	Group              string `json:"group"`
	Version            string `json:"version"`
	Kind               string `json:"kind"`
	Namespace          string `json:"namespace"`
	Name               string `json:"name"`
	LabelSelector      string `json:"labelSelector"`
	AnnotationSelector string `json:"annotationSelector"`
}

// postRender changes the manifests of a release: hooks together with the others, apart, or not at all.
func postRender(name string, in io.Reader, out io.Writer, bounds limits) error {
	var wanted task
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &wanted)
	}
	if err != nil {
		return err
	}
	manifests, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if wanted.Strategy == "combined" {
		manifests, err = wanted.apply(manifests)
	} else {
		manifests, err = wanted.apart(manifests)
	}
	if err == nil && int64(len(manifests)) > bounds.output {
		err = fmt.Errorf("the result is larger than %d MiB", bounds.output>>20)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(manifests)
	return err
}

func (t task) apart(manifests []byte) ([]byte, error) {
	documents, err := kio.FromBytes(manifests)
	if err != nil {
		return nil, err
	}
	var hooks, others []*yaml.RNode
	for _, document := range documents {
		if _, is := document.GetAnnotations()[hook]; is {
			hooks = append(hooks, document)
		} else {
			others = append(others, document)
		}
	}
	first, err := kio.StringAll(others)
	if err != nil {
		return nil, err
	}
	second, err := kio.StringAll(hooks)
	if err != nil {
		return nil, err
	}
	changed, err := t.apply([]byte(first))
	if err != nil {
		return nil, err
	}
	rest := []byte(second)
	if t.Strategy == "separate" {
		if rest, err = t.apply(rest); err != nil {
			return nil, err
		}
	}
	return bytes.Join([][]byte{changed, rest}, []byte("\n---\n")), nil
}

func (t task) apply(manifests []byte) ([]byte, error) {
	if len(bytes.TrimSpace(manifests)) == 0 {
		return nil, nil
	}
	for _, one := range t.Kustomize {
		changed, err := one.apply(manifests)
		if err != nil {
			return nil, err
		}
		manifests = changed
	}
	return t.mark(manifests)
}

func (c change) apply(manifests []byte) ([]byte, error) {
	about := types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{"helm-output.yaml"},
		Images:    c.Images,
	}
	for _, one := range c.Patches {
		about.Patches = append(about.Patches, types.Patch{Patch: one.Patch, Target: one.Target.kustomize()})
	}
	text, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	files := filesys.MakeFsInMemory()
	if err := files.WriteFile("kustomization.yaml", text); err != nil {
		return nil, err
	}
	if err := files.WriteFile("helm-output.yaml", manifests); err != nil {
		return nil, err
	}
	made, err := kustomize(files, ".")
	if err != nil {
		return nil, err
	}
	return made.AsYaml()
}

func (s *selector) kustomize() *types.Selector {
	if s == nil {
		return nil
	}
	found := &types.Selector{LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector}
	found.Group, found.Version, found.Kind = s.Group, s.Version, s.Kind
	found.Namespace, found.Name = s.Namespace, s.Name
	return found
}

// mark gives every object the labels and annotations.
func (t task) mark(manifests []byte) ([]byte, error) {
	factory := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory())
	objects, err := factory.NewResMapFromBytes(manifests)
	if err != nil {
		return nil, err
	}
	if len(t.Labels) > 0 {
		labels := builtins.LabelTransformerPlugin{Labels: t.Labels, FieldSpecs: everywhere("metadata/labels")}
		if err := labels.Transform(objects); err != nil {
			return nil, err
		}
	}
	if len(t.Annotations) > 0 {
		notes := builtins.AnnotationsTransformerPlugin{
			Annotations: t.Annotations, FieldSpecs: everywhere("metadata/annotations"),
		}
		if err := notes.Transform(objects); err != nil {
			return nil, err
		}
	}
	return objects.AsYaml()
}

func everywhere(path string) types.FsSlice {
	return types.FsSlice{{Path: path, CreateIfNotPresent: true}}
}
