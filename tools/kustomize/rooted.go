package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var (
	errOutside  = errors.New("path leaves the artifact")
	errReadOnly = errors.New("a build writes nothing")
	errUnused   = errors.New("a build looks for no files by pattern")
)

const maxLinks = 40

// rooted is one folder as a file system that can be read. Paths are those of the machine, since messages show them, but
// every one is opened beneath the folder by os.Root, which follows no link out of it. Whatever kustomize makes of a
// path on the way, this is where it is opened.
//
// Some files are given in memory and stand in the place of those in the folder, or beside them. They are known by the
// path that is left when links are followed.
type rooted struct {
	root  *os.Root
	dir   string
	given map[string][]byte
}

var _ filesys.FileSystem = (*rooted)(nil)

func openRooted(dir string, given map[string][]byte) (*rooted, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &rooted{root, dir, given}, nil
}

func (r *rooted) close() { _ = r.root.Close() }

// inside is the path relative to the root.
func (r *rooted) inside(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	relative, err := filepath.Rel(r.dir, path)
	if err != nil || !filepath.IsLocal(relative) {
		return "", errOutside
	}
	return relative, nil
}

// said is the error in the words that kustomize's own file system has for it.
func said(operation, path string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if err != nil && strings.Contains(err.Error(), "escapes from parent") {
		err = errOutside
	}
	return &fs.PathError{Op: operation, Path: path, Err: err}
}

// found is the relative path of what is to be opened, and its content if that is given.
func (r *rooted) found(path string) (relative string, content []byte, given bool, err error) {
	relative, err = r.inside(path)
	if err != nil || len(r.given) == 0 {
		return relative, nil, false, err
	}
	real, err := r.unlinked(relative)
	if err != nil {
		return relative, nil, false, err
	}
	content, given = r.given[real]
	return relative, content, given, nil
}

// ReadFile reads a file to its end; nothing that is no file, for it might never end. The memory of the process is
// bounded.
func (r *rooted) ReadFile(path string) ([]byte, error) {
	relative, content, given, err := r.found(path)
	if err != nil {
		return nil, said("open", path, err)
	}
	if given {
		return content, nil
	}
	file, err := r.root.OpenFile(relative, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, said("open", path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = syscall.EISDIR
	} else if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		return nil, said("read", path, err)
	}
	content = make([]byte, info.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		return nil, said("read", path, err)
	}
	return content, nil
}

func (r *rooted) IsDir(path string) bool {
	relative, _, given, err := r.found(path)
	if given || err != nil {
		return false
	}
	info, err := r.root.Stat(relative)
	return err == nil && info.IsDir()
}

func (r *rooted) Exists(path string) bool {
	relative, _, given, err := r.found(path)
	if given || err != nil {
		return given
	}
	_, err = r.root.Stat(relative)
	return err == nil
}

// CleanedAbs is the folder, without links, and the name of the file in it, if the path is no folder.
func (r *rooted) CleanedAbs(path string) (filesys.ConfirmedDir, string, error) {
	relative, err := r.inside(path)
	if err == nil {
		relative, err = r.unlinked(relative)
	}
	if err != nil {
		return "", "", fmt.Errorf("evalsymlink failure on '%s' : %w", path, err)
	}
	full := filepath.Join(r.dir, relative)
	if r.IsDir(full) {
		return filesys.ConfirmedDir(full), "", nil
	}
	return filesys.ConfirmedDir(filepath.Dir(full)), filepath.Base(full), nil
}

// unlinked follows every link of a relative path. It decides nothing: what it returns is opened like any other path.
func (r *rooted) unlinked(path string) (string, error) {
	done, left := ".", strings.Split(path, string(filepath.Separator))
	for links := 0; len(left) > 0; {
		next := filepath.Join(done, left[0])
		left = left[1:]
		if !filepath.IsLocal(next) {
			return "", errOutside
		}
		if _, given := r.given[next]; given && len(left) == 0 {
			return next, nil
		}
		info, err := r.root.Lstat(next)
		if err != nil {
			return "", said("lstat", filepath.Join(r.dir, next), err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", said("lstat", filepath.Join(r.dir, next), syscall.ELOOP)
		}
		target, err := r.root.Readlink(next)
		if err != nil {
			return "", said("readlink", filepath.Join(r.dir, next), err)
		}
		if filepath.IsAbs(target) {
			return "", errOutside
		}
		left = append(strings.Split(target, string(filepath.Separator)), left...)
	}
	return done, nil
}

// What kustomize's builds have no use for.

func (r *rooted) Open(path string) (filesys.File, error) { return nil, said("open", path, errUnused) }
func (r *rooted) ReadDir(path string) ([]string, error)  { return nil, said("open", path, errUnused) }
func (r *rooted) Glob(pattern string) ([]string, error)  { return nil, said("glob", pattern, errUnused) }
func (r *rooted) Walk(path string, visit filepath.WalkFunc) error {
	return said("walk", path, errUnused)
}
func (r *rooted) Create(path string) (filesys.File, error) {
	return nil, said("create", path, errReadOnly)
}
func (r *rooted) Mkdir(path string) error               { return said("mkdir", path, errReadOnly) }
func (r *rooted) MkdirAll(path string) error            { return said("mkdir", path, errReadOnly) }
func (r *rooted) RemoveAll(path string) error           { return said("remove", path, errReadOnly) }
func (r *rooted) WriteFile(path string, _ []byte) error { return said("write", path, errReadOnly) }
