// Builds what a kustomization says, with kustomize's own code, as Flux's controllers do.
//
//	fluxless-kustomize serve [limits]             takes builds over its standard input, until that ends
//	fluxless-kustomize post-render [limits] TASK  is helm's post-renderer for one release
//	fluxless-kustomize exec PARENT PROGRAM ...     becomes a program that ends with the process that started it
//	fluxless-kustomize version                    says which protocol and which kustomize this is
//
// Whoever wrote the kustomization is a stranger: see rooted.go for what a build can read, and confine_linux.go for what
// the process can do at all. The caller kills a process whose build takes too long.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/provenance"
)

type limits struct {
	memory  int64 // bytes of address space and of data
	seconds int64 // of one build on all cores together
	output  int64 // bytes of what one build says
}

const (
	exitUsage      = 64
	exitCPU        = 65 // the caller knows these
	exitNotStarted = 66
)

func main() {
	if len(os.Args) > 3 && os.Args[1] == "exec" {
		fmt.Fprintln(os.Stderr, start(os.Args[2], os.Args[3:]))
		os.Exit(exitNotStarted)
	}
	var bounds limits
	flags := flag.NewFlagSet(filepath.Base(os.Args[0]), flag.ExitOnError)
	flags.Int64Var(&bounds.memory, "memory", 1<<30, "bytes that a build may use")
	flags.Int64Var(&bounds.seconds, "cpu", 120, "seconds of processor time that a build may use")
	flags.Int64Var(&bounds.output, "output", 32<<20, "bytes that a build may produce")
	if len(os.Args) < 2 {
		usage()
	}
	_ = flags.Parse(os.Args[2:])
	silence()
	confine(bounds)
	switch {
	case os.Args[1] == "serve" && flags.NArg() == 0:
		serve(os.Stdin, os.Stdout, bounds)
	case os.Args[1] == "post-render" && flags.NArg() == 1:
		if err := postRender(flags.Arg(0), os.Stdin, os.Stdout, bounds); err != nil {
			fmt.Fprintf(realStderr, "post-renderer: %v\n", err)
			os.Exit(1)
		}
	case os.Args[1] == "version":
		fmt.Println(greeting, provenance.GetProvenance().Semver())
	default:
		usage()
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: fluxless-kustomize serve | post-render TASK | exec PARENT PROGRAM [ARGUMENT...] | version")
	os.Exit(exitUsage)
}
