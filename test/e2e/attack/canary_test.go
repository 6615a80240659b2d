package attack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/leak"
)

// canary is a directory of the host that an attack is after, with a file in
// it.
type canary struct {
	dir    string
	before string
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.dir, "shadow"), []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.before = c.look(t)
	return c
}

// look describes everything in the directory.
func (c *canary) look(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(c.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		var text []byte
		if info.Mode().IsRegular() {
			text, err = os.ReadFile(path)
		}
		fmt.Fprintln(&b, path, info.Mode(), info.ModTime().UnixNano(), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// untouched fails the test if the host's directory has changed.
func (c *canary) untouched(t *testing.T) {
	t.Helper()
	if after := c.look(t); after != c.before {
		t.Errorf("the host's directory was\n%sand is\n%s", c.before, after)
	}
}

// eventually polls for twenty seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited for %s in vain", what)
}

// left says what is on the host beyond before, once tear-down has had its time.
func left(ctx context.Context, before leak.State) error {
	var diff []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		now, err := leak.Read(ctx, nil, nil)
		if err != nil {
			return err
		}
		if diff = leak.Diff(before, now); len(diff) == 0 {
			return nil
		}
	}
	return errors.New("left on the host:\n" + strings.Join(diff, "\n"))
}
