// Package tarball makes archives for tests of what unpacks them.
package tarball

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"
)

// Zeros is an archive of so many files, each of size bytes that are zero.
func Zeros(t testing.TB, entries int, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range entries {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
