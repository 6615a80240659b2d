package cp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Errors of destinations, in Docker's words.
var (
	ErrNotDirectory  = errors.New("not a directory")
	ErrDirNotExists  = errors.New("no such directory")
	ErrCannotCopyDir = errors.New("cannot copy directory")
)

// An Info is what is known of one side of a copy.
type Info struct {
	Path   string // its end says what is meant: "/." and "/"
	Exists bool
	IsDir  bool
	// Rename is the name that the user gave, when following links led to
	// another; "": the path's own.
	Rename string
}

// Local makes a path of the command line absolute and keeps its end.
func Local(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return keepEnd(abs, path), nil
}

// keepEnd gives a cleaned path the end of the original.
func keepEnd(clean, original string) string {
	if !meansContent(clean) && meansContent(original) {
		clean = strings.TrimSuffix(clean, "/") + "/."
	}
	if !strings.HasSuffix(clean, "/") && strings.HasSuffix(original, "/") {
		clean += "/"
	}
	return clean
}

// meansContent tells whether a path means what is in a directory.
func meansContent(path string) bool { return filepath.Base(path) == "." }

// meansDir tells whether a path can only be that of a directory.
func meansDir(path string) bool { return strings.HasSuffix(path, "/") || meansContent(path) }

// Split separates the last element of a path, which is "." for "x/.".
func Split(path string) (dir, base string) {
	clean := filepath.Clean(path)
	if meansContent(path) {
		clean += "/."
	}
	return filepath.Dir(clean), filepath.Base(clean)
}

// Source looks at what is to be copied from here. Links on the way are
// followed; one at the end only if follow says so.
func Source(path string, follow bool) (Info, error) {
	resolved, rename := "", ""
	if follow {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return Info{}, err
		}
		resolved, rename = Followed(path, target)
	} else {
		dir, base := filepath.Split(path)
		target, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return Info{}, err
		}
		resolved = target + "/" + base
		if strings.HasSuffix(path, "/") && filepath.Base(path) != filepath.Base(resolved) {
			rename = filepath.Base(path)
		}
	}
	info, err := os.Lstat(resolved)
	if err != nil {
		return Info{}, err
	}
	return Info{Path: resolved, Exists: true, IsDir: info.IsDir(), Rename: rename}, nil
}

// Followed returns the path that a link led to, with the end of the original,
// and the name that the user gave if it differs.
func Followed(original, target string) (path, rename string) {
	if meansContent(original) && !meansContent(target) {
		target += "/."
	}
	if strings.HasSuffix(original, "/") && !strings.HasSuffix(target, "/") {
		target += "/"
	}
	if filepath.Base(original) != filepath.Base(target) {
		rename = filepath.Base(original)
	}
	return target, rename
}

// maxLinks is how many links at a destination are followed.
const maxLinks = 10

// Destination looks at where something is to be copied to here. Its directory
// must exist.
func Destination(path string) (Info, error) {
	original := path
	info, err := os.Lstat(path)
	for n := 0; err == nil && info.Mode()&os.ModeSymlink != 0; n++ {
		if n > maxLinks {
			return Info{}, errors.New("too many symlinks in " + original)
		}
		target, err2 := os.Readlink(path)
		if err2 != nil {
			return Info{}, err2
		}
		if !filepath.IsAbs(target) {
			dir, _ := Split(path)
			target = filepath.Join(dir, target)
		}
		path = target
		info, err = os.Lstat(path)
	}
	if err == nil {
		return Info{Path: path, Exists: true, IsDir: info.IsDir()}, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return Info{}, err
	}
	dir, _ := Split(path)
	parent, err := os.Stat(dir)
	if err != nil {
		return Info{}, err
	}
	if !parent.IsDir() {
		return Info{}, ErrNotDirectory
	}
	return Info{Path: path}, nil
}

// Place decides into which directory a stream of src is unpacked so that it
// comes to dst, and how its entries are renamed for that.
func Place(src, dst Info) (dir string, rename func(string) string, err error) {
	dir, base := Split(dst.Path)
	_, from := Split(src.Path)
	if src.Rename != "" {
		from = src.Rename
	}
	same := func(name string) string { return name }
	switch {
	case dst.Exists && dst.IsDir:
		return dst.Path, same, nil
	case dst.Exists && src.IsDir:
		return "", nil, ErrCannotCopyDir
	case !dst.Exists && !src.IsDir && meansDir(dst.Path):
		return "", nil, ErrDirNotExists
	}
	return dir, Rebase(from, base), nil
}

// Rebase renames the first element of the names of a stream.
func Rebase(from, to string) func(string) string {
	from, to = strings.TrimRight(from, "/"), strings.TrimRight(to, "/")
	return func(name string) string {
		if from == "" {
			name = strings.TrimLeft(name, "/")
			if to == "" {
				return name
			}
			return to + "/" + name
		}
		rest, ok := strings.CutPrefix(name, from)
		if !ok || rest != "" && !strings.HasPrefix(rest, "/") {
			return name
		}
		return to + rest
	}
}
