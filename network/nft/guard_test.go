package nft

import (
	"net/netip"
	"testing"

	"github.com/berth-engine/berth/test/golden"
)

func holders() []Holder {
	addr := netip.MustParseAddr
	return []Holder{
		{Group: 7, Addresses: []netip.Addr{addr("172.18.0.1"), addr("fd00:18::1")}},
		{Group: 7, Link: "veth1", Addresses: []netip.Addr{addr("172.18.0.2"), addr("169.254.7.7"), addr("fd00:18::2")}},
		{Group: 8, Link: "veth2", Addresses: []netip.Addr{addr("172.19.0.2")}},
	}
}

// TestGuard is config in, rules out, as people see them.
func TestGuard(t *testing.T) {
	inNamespace(t)
	g, err := OpenGuard("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	g.shared = true // what this test is about is not whose it is
	for range 2 {   // replacing is idempotent
		if err := g.Replace(holders(), false); err != nil {
			t.Fatal(err)
		}
	}
	got := listRuleset(t)
	golden.Compare(t, "guard.nft", got)
	text, err := g.Text()
	if err != nil {
		t.Fatal(err)
	}
	sameWords(t, "as text", text, got)
	if ok, err := g.Intact(); err != nil || !ok {
		t.Errorf("intact %v, %v", ok, err)
	}
}

// TestGuardElements come and go without a trace.
func TestGuardElements(t *testing.T) {
	inNamespace(t)
	g, err := OpenGuard("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	all := holders()
	if err := g.Replace(all[:1], false); err != nil {
		t.Fatal(err)
	}
	before := listRuleset(t)
	for _, h := range all[1:] {
		if err := g.Add(h); err != nil {
			t.Fatal(err)
		}
	}
	full := listRuleset(t)
	if err := g.Replace(all[:1], true); err != nil {
		t.Fatal(err)
	}
	if kept := listRuleset(t); kept != full {
		t.Errorf("kept\n%s\nof\n%s", kept, full)
	}
	for _, h := range all[1:] {
		if err := g.Remove(h); err != nil {
			t.Fatal(err)
		}
	}
	if after := listRuleset(t); after != before {
		t.Errorf("left behind\n%s\nbefore\n%s", after, before)
	}
	if err := g.Remove(all[1]); err == nil {
		t.Error("what is not there was removed")
	}
	if err := g.Delete(); err != nil {
		t.Fatal(err)
	}
	if got := listRuleset(t); got != "" {
		t.Errorf("after Delete:\n%s", got)
	}
	if err := g.Delete(); err != nil {
		t.Errorf("delete nothing: %v", err)
	}
}
