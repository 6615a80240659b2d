package network

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLastAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.address")
	if got := lastAddress(path); got.IsValid() {
		t.Errorf("no file: %s", got)
	}
	for content, want := range map[string]string{"172.20.0.1/16\n": "172.20.0.1/16", "nonsense": "invalid Prefix", "": "invalid Prefix"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastAddress(path); got.String() != want {
			t.Errorf("%q: got %s, want %s", content, got, want)
		}
	}
}
