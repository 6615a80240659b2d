package network

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
)

// TestBridgeOfAnother: an engine that ends removes its bridge, so no other may
// have containers on it.
func TestBridgeOfAnother(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80))
	a.serve(80, "a")
	before := settled(t)
	other := w.o
	other.ExecRoot, other.DataRoot = filepath.Join(t.TempDir(), "exec"), filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(other.ExecRoot, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := New(context.Background(), other)
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "belongs to the engine with the exec-root "+w.o.ExecRoot) {
		t.Errorf("second engine on the same bridge: %v", err)
	}
	w.sameAs(before)
	w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")

	// The same engine by another path is no other.
	w.crash()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(w.o.ExecRoot, link); err != nil {
		t.Fatal(err)
	}
	root := w.o.ExecRoot
	w.o.ExecRoot = link
	w.start()
	w.end()
	w.o.ExecRoot = root

	// What a dead one left is taken over.
	sh(t, "ip link add berth0 type bridge; ip link set berth0 alias 'berth /nowhere'")
	w.start()
	if got := sh(t, "ip link show berth0"); !strings.Contains(got, "alias berth "+root+"\n") {
		t.Errorf("the bridge: %s", got)
	}
	w.end()

	// So is one that was made by an engine that died before it could mark it.
	conn, err := netlink.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.AddBridge("berth0", 1500); err != nil {
		t.Fatal(err)
	}
	w.start()
	if got := sh(t, "ip link show berth0"); !strings.Contains(got, "alias berth "+root+"\n") || !strings.Contains(got, " group default ") {
		t.Errorf("the bridge: %s", got)
	}
	w.end()
	if got := sh(t, "ip -br link show type bridge"); got != "" {
		t.Errorf("left: %s", got)
	}
	w.start() // for who ends it
}
