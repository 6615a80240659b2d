package lifecycle

import (
	"encoding/json"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/sandbox/stage"
)

// FuzzParse takes config.json the whole way to the order for the stage. Whatever
// it says, that ends in an error or in a bundle that keeps the promises of load.
func FuzzParse(f *testing.F) {
	text, err := json.Marshal(Example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"ociVersion":"1.3.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"]},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":9}]}]},"namespaces":[{"type":"mount"},{"type":"user"}],"uidMappings":[{"size":4294967295}]}}`))
	f.Add([]byte(`{"ociVersion":"1.0.0","root":{"path":"/"},"linux":{},"mounts":[{"destination":"..","source":"x","options":["bind","rro","idmap"]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parse("/bundle", text)
		if err != nil {
			return
		}
		if !filepath.IsAbs(b.rootfs) || b.spec.Linux == nil || b.spec.Process == nil {
			t.Fatalf("accepted: %q", text)
		}
		for _, m := range b.spec.Mounts {
			if isBind(&m) && m.Source != "" && !filepath.IsAbs(m.Source) {
				t.Errorf("source %q", m.Source)
			}
		}
		cfg := &stage.Config{Spec: b.spec, State: &specs.State{ID: "x"}}
		if cfg.Seccomp, err = seccomp.Compile(b.spec.Linux.Seccomp); err != nil {
			return
		}
		if _, order, err := stage.Prepare(cfg, false); err == nil && len(order) == 0 {
			t.Error("no order and no error")
		}
	})
}

func TestWithoutRoot(t *testing.T) {
	for path, want := range map[string]string{"/b/rootfs/data": "/data", "/b/rootfs//a/../c": "/c", "/b/rootfs": "/b/rootfs", "/b/rootfs2/x": "/b/rootfs2/x", "/data": "/data", "data": "data"} {
		if got := withoutRoot("/b/rootfs", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := withoutRoot("/", "/x"); got != "/x" {
		t.Error(got)
	}
}
