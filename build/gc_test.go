package build

import (
	"slices"
	"strings"
	"testing"
	"time"

	bkconfig "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/util/disk"
)

func TestGCPolicy(t *testing.T) {
	root := t.TempDir()
	if got, err := (GC{Off: true}).policy(root); err != nil || got != nil {
		t.Errorf("switched off: %v, %v", got, err)
	}
	got, err := GC{}.policy(root)
	if err != nil || len(got) < 3 || !got[len(got)-1].All || got[1].KeepDuration == 0 || got[1].MaxUsedSpace == 0 {
		t.Errorf("without a word: %+v, %v", got, err)
	}
	if got, err = (GC{Reserved: Space{Bytes: 5}}).policy(root); err != nil || got[2].ReservedSpace != 5 {
		t.Errorf("with a bound: %+v, %v", got, err)
	}
	stat, err := disk.GetDiskStat(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err = GC{Rules: []Rule{{
		All: true, Filters: []string{"unused-for=48h", "type=regular", "inuse=1"}, Reserved: Space{Bytes: 7}, MaxUsed: Space{Percent: 50},
	}}}.policy(root)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	r := got[0]
	if !r.All || r.KeepDuration != 48*time.Hour || r.ReservedSpace != 7 || r.MaxUsedSpace != (bkconfig.DiskSpace{Percentage: 50}).AsBytes(stat) ||
		!slices.Equal(r.Filter, []string{`type~="^regular$",inuse`}) {
		t.Errorf("%+v", r)
	}
	for filter, want := range map[string]string{"unused-for=long": "invalid duration", "colour=red": "invalid filter", `id=a"b`: "invalid filter"} {
		if _, err := (GC{Rules: []Rule{{Filters: []string{filter}}}}).policy(root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", filter, err)
		}
	}
}
