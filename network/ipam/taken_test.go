package ipam

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// takenBy is these networks.
func takenBy(all []netip.Prefix) *Taken {
	t := &Taken{}
	for _, p := range all {
		t.Add(p)
	}
	return t
}

// TestTaken compares with a look at every network.
func TestTaken(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	any4 := func(least int) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(256)), byte(random.IntN(256))})
		return netip.PrefixFrom(a, least+random.IntN(33-least)).Masked()
	}
	for range 200 {
		all := []netip.Prefix{netip.MustParsePrefix("fd00::/48")}
		for range random.IntN(30) {
			all = append(all, any4(12))
		}
		taken := takenBy(all)
		for range 100 {
			p := any4(8)
			_, got := taken.Overlap(p)
			if want := slices.ContainsFunc(all, p.Overlaps); got != want {
				t.Fatalf("%v: %s overlaps: %v, want %v", all, p, got, want)
			}
		}
	}
}

// TestChoose looks for the first subnet that is free among many that are not.
func TestChoose(t *testing.T) {
	areas := Areas{{netip.MustParsePrefix("10.0.0.0/8"), 24}, {netip.MustParsePrefix("192.168.0.0/16"), 20}}
	var used []netip.Prefix
	for range 3000 {
		p, err := areas.Choose(false, takenBy(used))
		if err != nil {
			t.Fatal(err)
		}
		used = append(used, p)
	}
	if last := used[2999].String(); last != "10.11.183.0/24" {
		t.Errorf("the last is %s", last)
	}
	p, err := areas.Choose(false, takenBy(append(used, netip.MustParsePrefix("10.0.0.0/9"), netip.MustParsePrefix("10.128.0.77/32"))))
	if err != nil || p.String() != "10.128.1.0/24" {
		t.Errorf("%v, %v", p, err)
	}
	p, err = areas.Choose(false, takenBy([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/1")}))
	if err != nil || p.String() != "192.168.0.0/20" {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := areas.Choose(false, takenBy([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})); err == nil {
		t.Errorf("%v from nothing", p)
	}
}
