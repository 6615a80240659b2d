package build

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"

	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/tarball"
)

// TestContextBombs: a context that becomes a great many bytes or entries is refused
// while it is unpacked.
func TestContextBombs(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	archive := func(entries int, size int64) []byte { return tarball.Zeros(t, entries, size) }
	bounds := oci.Bounds{Entries: 100, Ratio: 2_000, Least: 1 << 20}
	for name, c := range map[string]struct {
		context []byte
		want    string
	}{
		"as many as may be": {archive(100, 1), ""},
		"entries":           {archive(101, 1), "more than 100 entries"},
		"small":             {enc.EncodeAll(archive(1, 1<<19), nil), ""},
		"bytes":             {enc.EncodeAll(archive(1, 32<<20), nil), "that is no archive of files"},
		"not compressed":    {archive(1, 32<<20), ""},
	} {
		dir := t.TempDir()
		err := untar(t.Context(), dir, bytes.NewReader(c.context), bounds)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errdefs.IsInvalidArgument(err)):
			t.Errorf("%s: want an error with %q, got %v", name, c.want, err)
		}
		if list, err := os.ReadDir(dir); err != nil || c.want == "" && len(list) == 0 {
			t.Errorf("%s: nothing was unpacked: %v", name, err)
		}
	}
}

// TestContextEnd: what follows the archive in the stream is read, too, and a stream
// that breaks off there is an error.
func TestContextEnd(t *testing.T) {
	padded := append(tarball.Zeros(t, 1, 1), make([]byte, 1<<20)...)
	rest := bytes.NewReader(padded)
	if err := untar(t.Context(), t.TempDir(), rest, oci.DefaultBounds); err != nil || rest.Len() > 0 {
		t.Errorf("%v, %d bytes are left", err, rest.Len())
	}
	broken := io.MultiReader(bytes.NewReader(padded), iotest.ErrReader(io.ErrUnexpectedEOF))
	if err := untar(t.Context(), t.TempDir(), broken, oci.DefaultBounds); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v", err)
	}
}
