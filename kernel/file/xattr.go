package file

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattrs lists the extended attributes of what f refers to, which may be a
// handle. A file system without attributes has none.
func Xattrs(f *os.File) ([]string, error) {
	path := Path(f)
	for size := 1024; ; {
		buf := make([]byte, size)
		n, err := unix.Listxattr(path, buf)
		switch {
		case errors.Is(err, unix.ERANGE) && size < 1<<16:
			size = 1 << 16 // XATTR_LIST_MAX
			continue
		case errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil:
			return nil, nil
		case err != nil:
			return nil, at("list attributes", f.Name(), f, err)
		}
		return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
	}
}

// Xattr reads one extended attribute; "" if there is none.
func Xattr(f *os.File, name string) (string, error) {
	path := Path(f)
	for size := 256; ; {
		buf := make([]byte, size)
		n, err := unix.Getxattr(path, name, buf)
		switch {
		case errors.Is(err, unix.ERANGE) && size < 1<<16:
			size = 1 << 16 // XATTR_SIZE_MAX
			continue
		case errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP):
			return "", nil
		case err != nil:
			return "", at("read attribute "+name, f.Name(), f, err)
		}
		return string(buf[:n]), nil
	}
}

// SetXattr sets an extended attribute. It is errors.ErrUnsupported if the file
// system or the type of file has none of that kind.
func SetXattr(f *os.File, name, value string) error {
	return at("set attribute "+name, f.Name(), f, unix.Setxattr(Path(f), name, []byte(value), 0))
}
