package lifecycle

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	const passwd = "root:x:0:0::/root:/bin/sh\nbad\nuser:x:1000:1000::/home/user:/bin/sh\nnone:x:5:5:::\nhuge:x:4294967296:0::/x:\n"
	if err := os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct {
		env, want []string
		uid       uint32
	}{
		{nil, []string{"HOME=/root"}, 0},
		{[]string{"A=1", "B=2", "A=3"}, []string{"B=2", "A=3", "HOME=/home/user"}, 1000},
		{[]string{"HOME=/x", "A=1"}, []string{"HOME=/x", "A=1"}, 0},
		{[]string{"HOME=/x", "HOME="}, []string{"HOME=/root"}, 0},
		{[]string{"HOME="}, []string{"HOME=/"}, 5},
		{[]string{"HOME=", "HOME=/y"}, []string{"HOME=/y"}, 7},
		{nil, []string{"HOME=/"}, 42},
	} {
		if got := environment(c.env, root, c.uid); !slices.Equal(got, c.want) {
			t.Errorf("%q for %d: %q instead of %q", c.env, c.uid, got, c.want)
		}
	}
}
