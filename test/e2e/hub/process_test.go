// Package hub tells stories of the Hub as a process: the official conformance
// suite, load, kills.
package hub

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
)

// build makes a program.
func build(t *testing.T, what string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, what).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", what, err, out)
	}
	return program
}

// process runs the Hub as a process and returns it with its address.
func process(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	program := build(t, "github.com/berth-engine/berth/cmd/berth-hub")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			go func() {
				for lines.Scan() {
					// Read on, so that the Hub can write.
				}
			}()
			return cmd, "http://" + addr
		}
	}
	t.Fatal("the Hub did not start")
	return nil, ""
}

// newUser makes a user in the database of a Hub that need not run.
func newUser(t *testing.T, database, name string) {
	t.Helper()
	db, err := store.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := account.New(db, account.Options{}).CreateUser(t.Context(), account.System("test"), account.NewUser{Name: name, Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
}

// userToken gives a user a token for the registry.
func userToken(t *testing.T, database, name string) string {
	t.Helper()
	db, err := store.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	accounts := account.New(db, account.Options{})
	u, err := accounts.User(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := accounts.CreateToken(t.Context(), u.Principal(), account.NewToken{Name: "test", Scopes: []account.Scope{account.ScopeAdmin}})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}
