package network

import (
	"strings"
	"testing"
	"time"
)

// TestLinger: the address of a container that is gone is nobody's, also while
// something keeps its namespace.
func TestLinger(t *testing.T) {
	w := newWorld(t)
	c := w.attach("a")
	link := c.r.Endpoints[0].HostLink
	if !strings.Contains(sh(t, "ip -br link"), link) {
		t.Fatalf("no %s", link)
	}
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// The test holds the namespace as long as it runs.
	for end := time.Now().Add(long); strings.Contains(dump(t, "ip -br link"), link); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is still there", link)
		}
	}
}
