package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// A request and an answer are a length of four bytes, big end first, and as many bytes. A request is the JSON of
// `request`. An answer begins with one byte, `answerYAML` or `answerWords`. The first answer comes unasked and says
// which protocol this is.
const (
	greeting    = "fluxless-kustomize 1"
	maxRequest  = 64 << 20
	answerYAML  = 'y'
	answerWords = 'w'
)

type request struct {
	Root  string            `json:"root"`  // the artifact: nothing outside of it is read
	Path  string            `json:"path"`  // the folder to build, below the root
	Files map[string][]byte `json:"files"` // what is read in the place of files of the artifact, by path below the root
}

func serve(in io.Reader, out io.Writer, bounds limits) {
	requests := make(chan request)
	go func() { // also while a build runs: when the parent is gone, nobody wants what it says
		if err := read(bufio.NewReader(in), requests); err != nil {
			os.Exit(0)
		}
	}()
	answer(out, answerYAML, []byte(greeting))
	var maker builder
	for one := range requests {
		grantCPU(bounds.seconds)
		built, err := maker.build(one, bounds)
		if err != nil {
			answer(out, answerWords, []byte(err.Error()))
		} else {
			answer(out, answerYAML, built)
		}
		built = nil
		debug.FreeOSMemory() // the next build may come in an hour, and the app beside us has little
	}
}

func read(in *bufio.Reader, requests chan<- request) error {
	for {
		var size uint32
		if err := binary.Read(in, binary.BigEndian, &size); err != nil {
			return err
		}
		if size > maxRequest {
			return fmt.Errorf("a request of %d bytes", size)
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(in, text); err != nil {
			return err
		}
		var one request
		if err := json.Unmarshal(text, &one); err != nil {
			return err
		}
		requests <- one
	}
}

func answer(out io.Writer, kind byte, text []byte) {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(text)+1))
	if _, err := out.Write(append(head, kind)); err != nil {
		os.Exit(0)
	}
	if _, err := out.Write(text); err != nil {
		os.Exit(0)
	}
}
