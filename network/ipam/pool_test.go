package ipam

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

func pool(t *testing.T, subnet, gateway string) *Pool {
	t.Helper()
	p, err := New(Subnet{Prefix: netip.MustParsePrefix(subnet), Gateway: netip.MustParseAddr(gateway)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTakeGoesOnAndComesRound(t *testing.T) {
	p := pool(t, "10.0.0.0/29", "10.0.0.1") // five addresses: .2 to .6
	for _, want := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4"} {
		if got, err := p.Take(); err != nil || got.String() != want {
			t.Fatalf("got %v, %v, want %s", got, err, want)
		}
	}
	p.Release(netip.MustParseAddr("10.0.0.2"))
	for _, want := range []string{"10.0.0.5", "10.0.0.6", "10.0.0.2"} {
		if got, err := p.Take(); err != nil || got.String() != want {
			t.Fatalf("got %v, %v, want %s", got, err, want)
		}
	}
	if got, err := p.Take(); !errdefs.IsResourceExhausted(err) {
		t.Errorf("a full pool gave %v, %v", got, err)
	}
}

func TestReserve(t *testing.T) {
	p := pool(t, "10.0.0.0/24", "10.0.0.1")
	a := netip.MustParseAddr("10.0.0.9")
	if err := p.Reserve(a); err != nil {
		t.Fatal(err)
	}
	if err := p.Reserve(a); !errdefs.IsAlreadyExists(err) {
		t.Errorf("twice: %v", err)
	}
	for _, spared := range []string{"10.0.0.0", "10.0.0.1", "10.0.0.255"} {
		if err := p.Reserve(netip.MustParseAddr(spared)); !errdefs.IsAlreadyExists(err) {
			t.Errorf("%s: %v", spared, err)
		}
	}
	for _, bad := range []string{"10.0.1.2", "::1"} {
		if err := p.Reserve(netip.MustParseAddr(bad)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for name, s := range map[string]Subnet{
		"no subnet":         {},
		"host bits":         {Prefix: prefix("10.0.0.1/24")},
		"no room":           {Prefix: prefix("10.0.0.0/32"), Gateway: addr("10.0.0.0")},
		"gateway elsewhere": {Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.1.1")},
		"range elsewhere":   {Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.1.0/25")},
		"range is larger":   {Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.0.0/23")},
		"range without any": {Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.0.1/32"), Gateway: addr("10.0.0.1")},
		"other family":      {Prefix: prefix("fd00::/64"), Gateway: addr("10.0.0.1")},
		"aux elsewhere":     {Prefix: prefix("10.0.0.0/24"), Aux: map[string]netip.Addr{"a": addr("10.1.0.1")}},
		"aux is gateway":    {Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.0.1"), Aux: map[string]netip.Addr{"a": addr("10.0.0.1")}},
	} {
		if _, err := New(s); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNeverTwice takes and releases at random from many goroutines: no address
// is ever held by two, none is lost.
func TestNeverTwice(t *testing.T) {
	p := pool(t, "10.0.0.0/22", "10.0.0.1")
	var held sync.Map
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			var mine []netip.Addr
			for range 20_000 {
				if len(mine) > 0 && r.IntN(2) == 0 {
					i := r.IntN(len(mine))
					held.Delete(mine[i])
					p.Release(mine[i])
					mine[i] = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
					continue
				}
				a, err := p.Take()
				if errdefs.IsResourceExhausted(err) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if other, twice := held.LoadOrStore(a, seed); twice {
					t.Errorf("%s is held by %d and %v", a, seed, other)
					return
				}
				mine = append(mine, a)
			}
			for _, a := range mine {
				held.Delete(a)
				p.Release(a)
			}
		})
	}
	wg.Wait()
	if len(p.used) != 0 {
		t.Errorf("%d addresses are lost", len(p.used))
	}
}

// TestMillions: a model of sets beside pools of every shape, for millions of
// steps; what the pool says and the model says is the same.
func TestMillions(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for name, s := range map[string]Subnet{
		"plain": {Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.0.1")},
		"range": {Prefix: prefix("10.0.0.0/16"), Range: prefix("10.0.3.0/26"), Gateway: addr("10.0.3.1"), Aux: map[string]netip.Addr{"a": addr("10.0.3.9")}},
		"pair":  {Prefix: prefix("10.0.0.0/31")},
		"six":   {Prefix: prefix("fd00::/64"), Gateway: addr("fd00::1")},
		"end":   {Prefix: prefix("255.255.255.0/24"), Gateway: addr("255.255.255.1")},
		"small": {Prefix: prefix("fd00::/125"), Gateway: addr("fd00::1")},
	} {
		p, err := New(s)
		if err != nil {
			t.Fatal(name, err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		var held []netip.Addr
		at := map[netip.Addr]int{}
		drop := func(i int) {
			last := len(held) - 1
			delete(at, held[i])
			if i != last {
				held[i] = held[last]
				at[held[i]] = i
			}
			held = held[:last]
		}
		for range 500_000 {
			switch n := r.IntN(10); {
			case n < 5 && len(held) < 2000:
				a, err := p.Take()
				if errdefs.IsResourceExhausted(err) {
					if _, free := p.Counts(); free != 0 {
						t.Fatalf("%s: %d are free but none is had", name, free)
					}
					continue
				}
				_, twice := at[a]
				if err != nil || twice || !s.Prefix.Contains(a) || s.Range.IsValid() && !s.Range.Contains(a) || a == s.Gateway {
					t.Fatalf("%s: took %s (twice: %v), %v", name, a, twice, err)
				}
				at[a] = len(held)
				held = append(held, a)
			case n == 9 && len(held) > 0:
				if err := p.Reserve(held[r.IntN(len(held))]); !errdefs.IsAlreadyExists(err) {
					t.Fatalf("%s: reserved twice: %v", name, err)
				}
			case len(held) > 0:
				i := r.IntN(len(held))
				p.Release(held[i])
				drop(i)
			}
		}
		before, free := p.Counts()
		for _, a := range held {
			p.Release(a)
			p.Release(a) // twice is no harm
		}
		after, all := p.Counts()
		if before-after != uint64(len(held)) || all-free != uint64(len(held)) || p.spent != 0 {
			t.Errorf("%s: counts %d, %d; then %d, %d", name, before, free, after, all)
		}
	}
}
