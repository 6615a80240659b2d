package archive

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
)

// Flags of open(2) that package os has no names for.
const (
	openPath     = 0x200000 // O_PATH
	openNoFollow = 0x20000  // O_NOFOLLOW
)

// maxLinks is how many symbolic links a path may lead through, as in
// filepath.EvalSymlinks.
const maxLinks = 255

// Clean makes a path of a request absolute and keeps what its end says: "/."
// means what is in a directory, "/" that it is one.
func Clean(p string) string {
	clean := path.Join("/", p)
	switch {
	case clean == "/":
		return clean
	case p == "." || strings.HasSuffix(p, "/."):
		return clean + "/."
	case strings.HasSuffix(p, "/"):
		return clean + "/"
	}
	return clean
}

// open returns a handle of path in root; a link at its end is not followed
// unless the path says that it is a directory.
func open(root *os.File, p string) (*os.File, file.Stat, error) {
	f, err := mount.OpenInRoot(root, p, openPath|openNoFollow, 0)
	if err != nil {
		return nil, file.Stat{}, err
	}
	st, err := file.StatAt(f, "")
	if err == nil {
		err = refuseKernels(f, p)
	}
	if err != nil {
		f.Close()
		return nil, st, err
	}
	return f, st, nil
}

func refuseKernels(f *os.File, p string) error {
	kernels, err := file.IsKernels(f)
	if err == nil && kernels {
		err = errdefs.ErrInvalidArgument.WithMessage(p + " is on a file system of the kernel, which has nothing to copy")
	}
	return err
}

// Stat describes path in root, as the header X-Docker-Container-Path-Stat has
// it: a link itself, with the path that it leads to.
func Stat(root *os.File, p string) (container.PathStat, error) {
	p = Clean(p)
	f, st, err := open(root, p)
	if err != nil {
		return container.PathStat{}, err
	}
	f.Close()
	out := container.PathStat{Name: path.Base(p), Size: st.Size, Mode: st.Mode, Mtime: st.Modified}
	if st.Mode&fs.ModeSymlink != 0 {
		out.LinkTarget, err = Resolve(root, p)
	}
	return out, err
}

// Resolve returns the path without links that p leads to in root. Its end need
// not exist. It is for people and for asking again: who opens the result
// resolves it again, inside the root.
func Resolve(root *os.File, p string) (string, error) {
	done, rest := "/", p
	for links := 0; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, name)
		target, err := readlink(root, next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path.Join(next, rest), nil
		case err != nil:
			return "", err
		case target == "":
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &os.PathError{Op: "resolve", Path: p, Err: errors.New("too many links")}
		}
		if path.IsAbs(target) {
			done = "/"
		}
		rest = target + "/" + rest
	}
	return done, nil
}

// readlink returns the target of a link, or "" for anything else.
func readlink(root *os.File, p string) (string, error) {
	f, err := mount.OpenInRoot(root, p, openPath|openNoFollow, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := file.StatAt(f, "")
	if err != nil || st.Mode&fs.ModeSymlink == 0 {
		return "", err
	}
	return file.Readlink(f, "")
}
