package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/berth-engine/berth/oci"
)

// TestReproducible makes one image twice, from files whose times differ.
func TestReproducible(t *testing.T) {
	for _, compression := range []string{"gzip", "zstd", "none"} {
		var roots []oci.Blob
		for i := range 2 {
			dir := t.TempDir()
			sub := filepath.Join(dir, "site")
			if err := os.Mkdir(sub, 0o755); err != nil {
				t.Fatal(err)
			}
			script := filepath.Join(dir, "app")
			for _, p := range []string{script, filepath.Join(sub, "b"), filepath.Join(sub, "a")} {
				if err := os.WriteFile(p, []byte("content"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(p, time.Time{}, time.Unix(int64(i)*1e9, 0)); err != nil {
					t.Fatal(err)
				}
			}
			o := options{
				files: []string{script + "=/bin/app"}, dirs: []string{sub + "=/srv"}, extra: []string{sub + "=/"},
				labels: []string{"b=2", "a=1"}, platform: "linux/arm64", compression: compression,
			}
			image, err := o.image(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n := len(image.Blobs); n != 3 { // two layers and the configuration
				t.Errorf("%s: %d blobs", compression, n)
			}
			roots = append(roots, image.Root())
		}
		if a, b := roots[0].Descriptor.Digest, roots[1].Descriptor.Digest; a != b {
			t.Errorf("%s: two digests: %s, %s", compression, a, b)
		}
	}
}

func TestFileKeepsModeAndDropsOwner(t *testing.T) {
	p := filepath.Join(t.TempDir(), "su")
	if err := os.WriteFile(p, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	e, err := file(p, "/bin/../su")
	if err != nil {
		t.Fatal(err)
	}
	if e.Header.Mode != 0o4755 || e.Header.Name != "su" || e.Header.Uname != "" || !e.Header.ModTime.IsZero() {
		t.Errorf("got %+v", e.Header)
	}
}

func TestBusyboxHasAShell(t *testing.T) {
	entries, err := busybox(t.Context(), "/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]int64{"bin/sh": 0o777, "tmp/": 0o1777, "root/": 0o700, "etc/passwd": 0o644} {
		i := slices.IndexFunc(entries, func(e oci.Entry) bool { return e.Header.Name == name })
		if i < 0 || entries[i].Header.Mode != mode {
			t.Errorf("%s is missing or has another mode", name)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, target := range []string{"", "x", "http://host", "http://host/name", "http://:latest", "%zz"} {
		if _, _, err := parseTarget(target); err == nil {
			t.Errorf("target %q was taken", target)
		}
	}
	for _, o := range []options{
		{platform: "linux"},
		{platform: "linux/amd64", compression: "lzma"},
		{platform: "linux/amd64", files: []string{"nothing"}},
		{platform: "linux/amd64", files: []string{"/nowhere/at/all=/x"}},
		{platform: "linux/amd64", files: []string{"/dev/null=/x"}},
	} {
		if _, err := o.image(t.Context()); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
