package bridge

import (
	"testing"

	"github.com/berth-engine/berth/network/netns"
)

// TestPoolGivesBack: while memory is short nothing is kept ready, and who asks
// is served nevertheless.
func TestPoolGivesBack(t *testing.T) {
	p := &Pool{ready: make(chan *Namespace, 4)}
	short := true
	p.short = func() bool { return short }
	p.ready <- &Namespace{Namespace: &netns.Namespace{}}
	if p.room() {
		t.Error("it fills while memory is short")
	}
	if len(p.ready) != 0 {
		t.Errorf("%d are kept", len(p.ready))
	}
	if short = false; !p.room() {
		t.Error("it does not fill again")
	}
	for range cap(p.ready) {
		p.ready <- &Namespace{Namespace: &netns.Namespace{}}
	}
	if p.room() {
		t.Error("there is no room")
	}
}
