package seal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "key")
	k, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the key: %v, %v", left, err)
	}
	sealed := k.Seal("webhook a", "secret")
	if strings.Contains(sealed, "secret") || sealed == k.Seal("webhook a", "secret") {
		t.Errorf("sealed as %s", sealed)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := again.Open("webhook a", sealed); err != nil || s != "secret" {
		t.Errorf("%q, %v", s, err)
	}
	other, err := Load(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (string, error){
		"another purpose": func() (string, error) { return k.Open("webhook b", sealed) },
		"another key":     func() (string, error) { return other.Open("webhook a", sealed) },
		"changed":         func() (string, error) { return k.Open("webhook a", changed(sealed)) },
		"short":           func() (string, error) { return k.Open("webhook a", "v1.AAAA") },
		"plain":           func() (string, error) { return k.Open("webhook a", "secret") },
		"empty":           func() (string, error) { return k.Open("webhook a", "") },
	} {
		if s, err := open(); !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("%s: %q, %v", name, s, err)
		}
	}
}

func TestBadKey(t *testing.T) {
	for _, text := range []string{"", "short", "AAAA", "!!!"} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// changed is a sealed secret with another character in its middle.
func changed(sealed string) string {
	b := []byte(sealed)
	if at := &b[len(b)/2]; *at == 'A' {
		*at = 'B'
	} else {
		*at = 'A'
	}
	return string(b)
}
