package contexts

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
)

// Bounds of what an archive may hold.
const (
	maxFile  = 1 << 20
	maxFiles = 16
)

// Export writes a context as a tar archive, in the form that Docker's command
// line imports. It holds the private key, if the context has one.
func (c *Context) Export(w io.Writer) error {
	data, err := c.marshal()
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	add := func(name string, data []byte) error {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	if err := add("meta.json", data); err != nil {
		return err
	}
	for _, dir := range []string{"tls", path.Join("tls", Endpoint)} {
		if err := t.WriteHeader(&tar.Header{Name: dir, Mode: 0o700, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	files := c.TLS.files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if data := *files[name]; data != nil {
			if err := add(path.Join("tls", Endpoint, name), data); err != nil {
				return err
			}
		}
	}
	return t.Close()
}

// Import reads what Export wrote and names it.
func Import(name string, r io.Reader) (*Context, error) {
	var (
		c   *Context
		tls TLS
		t   = tar.NewReader(r)
	)
	for range maxFiles {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if c == nil {
				return nil, errors.New("invalid context: no metadata found")
			}
			c.Name, c.TLS = name, tls
			return c, nil
		}
		if err != nil {
			return nil, fmt.Errorf("invalid context: %w", err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if h.Size > maxFile {
			return nil, fmt.Errorf("invalid context: %s has %d bytes, more than %d", h.Name, h.Size, maxFile)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return nil, fmt.Errorf("invalid context: %w", err)
		}
		dir, file := path.Split(path.Clean(h.Name))
		into := tls.files()[file]
		switch {
		case h.Name == "meta.json":
			if c, err = parse(data); err != nil {
				return nil, fmt.Errorf("invalid context: %w", err)
			}
		case dir == "tls/"+Endpoint+"/" && into != nil:
			*into = data
		default:
			return nil, fmt.Errorf("invalid context: unexpected file %q", h.Name)
		}
	}
	return nil, fmt.Errorf("invalid context: more than %d files", maxFiles)
}
