package server

import (
	"strings"
	"testing"
)

// TestTurn: what the operations ask of the containers, and what is refused.
func TestTurn(t *testing.T) {
	for _, c := range []struct{ method, path, asked string }{
		{"GET", "/containers/c1/turn", "turn c1"},
		{"POST", "/containers/c1/drain", "drain c1 true 0s"},
		{"POST", "/containers/c1/drain?wait=30", "drain c1 true 30s"},
		{"POST", "/containers/c1/undrain", "drain c1 false 0s"},
	} {
		f := &fakeContainers{}
		_, hs := serve(t, f, nil)
		code, body, _ := do(t, hs, c.method, c.path, "")
		if code != 200 || !strings.Contains(body, `"Turn":"`) || len(f.calls) != 1 || f.calls[0] != c.asked {
			t.Errorf("%s %s: %d %s, asked %q", c.method, c.path, code, body, f.calls)
		}
	}
	for _, wait := range []string{"-1", "x", "1.5", "99999999999"} {
		f := &fakeContainers{}
		_, hs := serve(t, f, nil)
		code, body, _ := do(t, hs, "POST", "/containers/c1/drain?wait="+wait, "")
		if code != 400 || !strings.Contains(body, "number of seconds") || len(f.calls) != 0 {
			t.Errorf("wait=%s: %d %s", wait, code, body)
		}
	}
}
