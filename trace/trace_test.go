package trace

import (
	"context"
	"errors"
	"strconv"
	"testing"
)

func TestPhases(t *testing.T) {
	ctx, begun := New(t.Context(), "start")
	From(ctx).Mark("a")
	From(context.WithoutCancel(ctx)).Mark("b")
	got := begun.Phases()
	if len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" || got[0].At != 0 || got[1].At != got[0].Took {
		t.Errorf("phases %+v", got)
	}
	if begun.Took() != got[0].Took+got[1].Took {
		t.Errorf("all took %v, its phases %+v", begun.Took(), got)
	}
	begun.Mark("c")
	if len(got) != 2 || len(begun.Phases()) != 3 {
		t.Error("a list that was handed out has changed")
	}
	begun.Fail(errors.New("no"))
	begun.Fail(nil)
	if begun.Failed() != "no" {
		t.Errorf("failed: %q", begun.Failed())
	}
}

func TestOffCostsNothing(t *testing.T) {
	ctx := t.Context()
	var r *Recorder
	n := testing.AllocsPerRun(100, func() {
		ctx, begun := r.Begin(ctx, "start")
		From(ctx).Mark("a")
		begun.Fail(errNone)
		r.End(begun)
	})
	if n != 0 {
		t.Errorf("%v allocations without a recorder", n)
	}
}

var errNone = errors.New("none")

func TestRecorderKeepsTheLast(t *testing.T) {
	var told int
	r := NewRecorder(func(*Trace) { told++ })
	for i := range kept + 3 {
		_, begun := r.Begin(t.Context(), strconv.Itoa(i))
		r.End(begun)
	}
	last := r.Last()
	if told != kept+3 || len(last) != kept || last[0].Name != "3" || last[kept-1].Name != strconv.Itoa(kept+2) {
		t.Errorf("told %d, kept %d from %s to %s", told, len(last), last[0].Name, last[len(last)-1].Name)
	}
}
