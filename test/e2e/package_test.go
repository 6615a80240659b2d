package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
)

// TestPackage installs the Debian package in a fresh Debian root file system,
// runs hello-world with the installed programs, removes the package and looks
// for what it left. The root has mounts, processes, network and names of its
// own, so that the engine there is the only one.
func TestPackage(t *testing.T) {
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(filepath.Dir(bin), filepath.Base(bin), "berth.deb")
	if _, err := os.Stat(deb); err != nil {
		t.Fatalf("%v: run `make deb` first", err)
	}
	before, err := leak.Read(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	out, err := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--variant=minbase",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--format=directory", "bookworm", root).CombinedOutput()
	if err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "berth.deb"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/package.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", script, root)
	out, err = cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Hello from Berth!", "removed cleanly"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q", want)
		}
	}
	after, err := leak.Read(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := leak.Diff(before, after); len(diff) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(diff, "\n"))
	}
}
