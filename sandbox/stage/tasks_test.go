package stage

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSplitLimits: a number of tasks that leaves a stage none comes last, alone.
func TestSplitLimits(t *testing.T) {
	memory := &specs.LinuxMemory{Limit: new(int64(1))}
	for _, limit := range []*int64{nil, new(int64(-1)), new(int64(0)), new(int64(1)), new(int64(leastTasks - 1)), new(int64(leastTasks))} {
		r := &specs.LinuxResources{Memory: memory, Pids: &specs.LinuxPids{Limit: limit}}
		first, last := SplitLimits(r)
		if isLast := limit != nil && *limit >= 0 && *limit < leastTasks; !isLast {
			if first != r || last != nil {
				t.Errorf("%v: %+v, %+v", limit, first, last)
			}
			continue
		}
		want := &specs.LinuxResources{Memory: memory}
		if !reflect.DeepEqual(first, want) || !reflect.DeepEqual(last, &specs.LinuxResources{Pids: r.Pids}) || r.Pids == nil {
			t.Errorf("%d: %+v, %+v", *limit, first, last)
		}
	}
	if first, last := SplitLimits(nil); first != nil || last != nil {
		t.Errorf("no limits: %v, %v", first, last)
	}
}
