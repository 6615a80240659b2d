package server

import (
	"os"
	"path/filepath"
	"testing"
)

// Users of the host who are not in the socket's group cannot speak to the
// daemon.
func TestAttackSocketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.sock")
	l, err := listenUnix(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
