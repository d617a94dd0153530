package main

import (
	"errors"
	"fmt"
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
)

const maxLinks = 40

// rooted is one folder as a file system that can be read. Paths are those of the machine, since messages show them, but
// every one is opened beneath the folder by os.Root, which follows no link out of it. Whatever kustomize makes of a
// path on the way, this is where it is opened.
type rooted struct {
	root *os.Root
	dir  string
}

var _ filesys.FileSystem = (*rooted)(nil)

func openRooted(dir string) (*rooted, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &rooted{root, dir}, nil
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

func (r *rooted) stat(path string) (fs.FileInfo, error) {
	relative, err := r.inside(path)
	if err != nil {
		return nil, said("stat", path, err)
	}
	info, err := r.root.Stat(relative)
	if err != nil {
		return nil, said("stat", path, err)
	}
	return info, nil
}

// Open opens a file; nothing that is no file, for it might never end.
func (r *rooted) Open(path string) (filesys.File, error) {
	relative, err := r.inside(path)
	if err != nil {
		return nil, said("open", path, err)
	}
	file, err := r.root.OpenFile(relative, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, said("open", path, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = errors.New("not a file")
	}
	if err != nil {
		_ = file.Close()
		return nil, said("open", path, err)
	}
	return file, nil
}

// ReadFile reads a file to its end; the memory of the process is bounded.
func (r *rooted) ReadFile(path string) ([]byte, error) {
	opened, err := r.Open(path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return nil, said("read", path, err)
	}
	if info.IsDir() {
		return nil, said("read", path, syscall.EISDIR)
	}
	content := make([]byte, info.Size())
	for read := 0; read < len(content); {
		count, err := opened.Read(content[read:])
		if err != nil {
			return nil, said("read", path, err)
		}
		read += count
	}
	return content, nil
}

func (r *rooted) IsDir(path string) bool {
	info, err := r.stat(path)
	return err == nil && info.IsDir()
}

func (r *rooted) Exists(path string) bool {
	_, err := r.stat(path)
	return err == nil
}

func (r *rooted) entries(path string) ([]fs.DirEntry, error) {
	relative, err := r.inside(path)
	if err != nil {
		return nil, said("open", path, err)
	}
	found, err := fs.ReadDir(r.root.FS(), relative)
	if err != nil {
		return nil, said("open", path, err)
	}
	return found, nil
}

func (r *rooted) ReadDir(path string) ([]string, error) {
	found, err := r.entries(path)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(found))
	for index, entry := range found {
		names[index] = entry.Name()
	}
	return names, nil
}

func (r *rooted) Glob(pattern string) ([]string, error) {
	relative, err := r.inside(pattern)
	if err != nil {
		return nil, said("glob", pattern, err)
	}
	found, err := fs.Glob(r.root.FS(), relative)
	if err != nil {
		return nil, err
	}
	for index, path := range found {
		found[index] = filepath.Join(r.dir, path)
	}
	if !filesys.IsHiddenFilePath(pattern) {
		found = filesys.RemoveHiddenFiles(found)
	}
	return found, nil
}

func (r *rooted) Walk(path string, visit filepath.WalkFunc) error {
	relative, err := r.inside(path)
	if err != nil {
		return visit(path, nil, said("lstat", path, err))
	}
	return fs.WalkDir(r.root.FS(), relative, func(name string, entry fs.DirEntry, err error) error {
		var info fs.FileInfo
		if entry != nil {
			var failed error
			if info, failed = entry.Info(); err == nil {
				err = failed
			}
		}
		return visit(filepath.Join(r.dir, name), info, err)
	})
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

func (r *rooted) Create(path string) (filesys.File, error) {
	return nil, said("create", path, errReadOnly)
}
func (r *rooted) Mkdir(path string) error               { return said("mkdir", path, errReadOnly) }
func (r *rooted) MkdirAll(path string) error            { return said("mkdir", path, errReadOnly) }
func (r *rooted) RemoveAll(path string) error           { return said("remove", path, errReadOnly) }
func (r *rooted) WriteFile(path string, _ []byte) error { return said("write", path, errReadOnly) }
