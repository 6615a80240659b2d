package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/buildkit/solver/pb"

	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/tarball"
)

func TestArchivesThatAreUnpacked(t *testing.T) {
	root := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("five.tar", tarball.Zeros(t, 5, 0))
	write("six.tar", tarball.Zeros(t, 6, 0))
	write("zeros.tar.zst", zstdOf(t, tarball.Zeros(t, 1, 1<<20)))
	write("text", []byte("no archive"))
	write("cut.tar", tarball.Zeros(t, 6, 0)[:1000])
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	u := &unpacking{bounds: oci.Bounds{Entries: 5, Ratio: 100, Least: 1 << 16}}
	for src, bad := range map[string]bool{
		"/five.tar": false, "/six.tar": true, "/zeros.tar.zst": true, "/text": false, "/cut.tar": false, "/link": false, "/none": false,
		"/*.tar": true, "/f*.tar": false, "/../six.tar": true,
	} {
		err := u.check(t.Context(), root, &pb.FileActionCopy{Src: src, AllowWildcard: true})
		if bad != errdefs.IsInvalidArgument(err) || !bad && err != nil {
			t.Errorf("%s: %v", src, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if err := u.check(ctx, root, &pb.FileActionCopy{Src: "/five.tar"}); !errors.Is(err, stopped) {
		t.Error(err)
	}
}

func zstdOf(t *testing.T, data []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}
