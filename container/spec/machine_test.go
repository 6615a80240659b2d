package spec

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// header is the beginning of a program for a machine (elf(5)).
func header(data byte, machine [2]byte) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02")
	h[5] = data
	copy(h[18:], machine[:])
	return string(h)
}

func TestForeignMachine(t *testing.T) {
	dir := t.TempDir()
	arm, other := header(1, [2]byte{183, 0}), "arm64"
	if runtime.GOARCH == "arm64" {
		arm, other = header(1, [2]byte{62, 0}), "amd64"
	}
	own := header(1, map[string][2]byte{"amd64": {62, 0}, "arm64": {183, 0}}[runtime.GOARCH])
	for name, text := range map[string]string{
		"bin/sh": arm, "bin/own": own, "bin/text": "echo", "bin/script": "#!/bin/sh -e\n", "bin/big": header(2, [2]byte{0, 22}),
		"bin/short": "\x7fELF", "bin/lost": "#!/nosuch\n", "bin/void": "#!\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct{ program, want string }{
		{"/bin/sh", "/bin/sh is a program for " + other},
		{"sh", "/bin/sh is a program for " + other},
		{"./sh", "/bin/sh is a program for " + other},
		{"script", "/bin/sh is a program for " + other},
		{"big", "/bin/big is a program for s390x"},
		{"own", ""},
		{"text", ""},
		{"short", ""},
		{"lost", ""},
		{"void", ""},
		{"nosuch", ""},
		{"/bin", ""},
	} {
		got := foreignMachine(root, &specs.Process{Args: []string{c.program}, Cwd: "/bin", Env: []string{"A=b", "PATH=/none:/bin"}})
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.program, got, c.want)
		}
	}
	if got := foreignMachine(root, &specs.Process{}); got != "" {
		t.Errorf("nothing to execute: %q", got)
	}
}
