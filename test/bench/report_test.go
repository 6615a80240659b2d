package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// TestPeersFailureIsLeftOut: a peer that fails at a sample does not end the run, in
// which we may not fail.
func TestPeersFailureIsLeftOut(t *testing.T) {
	defer func(was []benchCase) { cases = was }(cases)
	peer := &target{name: "peer"}
	ours := &own{target: &target{name: "berth"}}
	var fails *target
	times := 0
	cases = []benchCase{{name: "case", unit: "ms", run: func(_ context.Context, _ *own, x *target) (float64, error) {
		times++
		if x == fails && times > 4 { // not while it warms up
			return 0, errors.New("409\n\tconflict")
		}
		return 1, nil
	}}}
	r := &report{}
	fails = peer
	if err := measure(t.Context(), options{n: 2}, ours, []*target{ours.target, peer}, r); err != nil {
		t.Fatal(err)
	}
	if got := [2]int{len(r.samples("case", "berth")), len(r.samples("case", "peer"))}; got != [2]int{2, 1} {
		t.Errorf("samples %v", got)
	}
	var out bytes.Buffer
	r.print(&out)
	if want := "left out: case on peer: 409 conflict\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("printed %q, want %q at the end", out.String(), want)
	}
	fails = ours.target
	if err := measure(t.Context(), options{n: 2}, ours, []*target{ours.target, peer}, r); err == nil || !strings.Contains(err.Error(), "case on berth: 409") {
		t.Errorf("our own failure: %v", err)
	}
}
