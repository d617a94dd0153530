package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// realStderr is for us; kustomize's warnings go nowhere, as they do in Flux.
var realStderr = os.Stderr

type closed struct{}

func (closed) RoundTrip(one *http.Request) (*http.Response, error) {
	return nil, errors.New("a build has no network: bases elsewhere are fetched before it")
}

// silence closes what kustomize would use behind our back: its network, its environment and its warnings.
func silence() {
	http.DefaultTransport = closed{}
	os.Clearenv() // no PATH, hence no git
	if nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = nowhere
	}
	log.SetOutput(io.Discard)
}

// builder makes one build after the other. What kustomize knows of Kubernetes' schemas is global to the process: the
// built-in ones are kept, for they take a third of a second to read, and never those that a kustomization brings.
type builder struct {
	used bool
}

func (b *builder) build(one request, bounds limits) (output []byte, err error) {
	root, err := openRooted(one.Root, one.Files)
	if err != nil {
		return nil, err
	}
	defer root.close()
	made, err := b.run(root, one.Path)
	if err != nil {
		return nil, err
	}
	output, err = made.AsYaml()
	if err == nil && int64(len(output)) > bounds.output {
		err = fmt.Errorf("the result is larger than %d MiB", bounds.output>>20)
	}
	return output, err
}

// run builds; with schemas of its own from the start, if the kustomization brings any.
func (b *builder) run(files filesys.FileSystem, path string) (made resmap.ResMap, err error) {
	made, err = kustomize(files, path)
	if openapi.GetSchemaVersion() == builtin {
		b.used = true
		return made, err
	}
	if b.used { // the schemas of earlier builds were still there
		openapi.ResetOpenAPI()
		made, err = kustomize(files, path)
	}
	openapi.ResetOpenAPI()
	b.used = false
	return made, err
}

var builtin = openapi.GetSchemaVersion()

func kustomize(files filesys.FileSystem, path string) (made resmap.ResMap, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			made, err = nil, fmt.Errorf("kustomize gave up: %v", fault)
		}
	}()
	return krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone, // bases may lie beside the path; the wall is the file system
		PluginConfig:     types.DisabledPluginConfig(),
		Reorder:          krusty.ReorderOptionUnspecified,
	}).Run(files, filepath.Clean(path))
}
