package netlink

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/kernel/ns"
)

// TestWatchRules: a removal is told, also after so many changes that the kernel
// lost messages: one that comes while those changes are being looked into.
func TestWatchRules(t *testing.T) {
	f, err := ns.NewNetNSWith(nil, func(*os.File) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	nft := func(commands string) {
		t.Helper()
		if err := ns.WithNetNS(f, func() error {
			cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
			cmd.Stdin = strings.NewReader(commands)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	const table = "add table inet t; add chain inet t c"
	nft(table)
	told, goOn := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ns.WithNetNS(f, func() error {
			return WatchRules(ctx, "t", func() {
				told <- struct{}{}
				<-goOn
			})
		})
	}()
	// hears waits until removed is called.
	hears := func(what string) {
		t.Helper()
		select {
		case <-told:
		case err := <-done:
			t.Fatalf("%s: the watch ended: %v", what, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not told", what)
		}
	}
	for begun := false; !begun; { // until it has subscribed
		nft("delete table inet t; " + table)
		select {
		case <-told:
			begun = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	nft(strings.Repeat("add rule inet t c ip saddr 192.0.2.1 accept\n", 20000))
	goOn <- struct{}{}
	hears("lost messages")
	nft("delete table inet t")
	goOn <- struct{}{}
	hears("the table's end")
	cancel()
	goOn <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
