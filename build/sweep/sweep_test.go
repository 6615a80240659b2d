package sweep

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// cache is a chain base ← step ← top, a context, a mount, a frontend, a record
// of an image's and one that a build uses.
func cache() []*client.UsageInfo {
	rec := func(id string, size, age int64, uses int, kind client.UsageRecordType, parents ...string) *client.UsageInfo {
		used := now.Add(-time.Duration(age) * time.Hour)
		return &client.UsageInfo{ID: id, Size: size, UsageCount: uses, LastUsedAt: &used, RecordType: kind, Parents: parents}
	}
	all := []*client.UsageInfo{
		rec("base", 50, 9, 3, client.UsageRecordTypeRegular),
		rec("step", 30, 9, 3, client.UsageRecordTypeRegular, "base"),
		rec("top", 10, 1, 2, client.UsageRecordTypeRegular, "step"),
		rec("context", 5, 30, 1, client.UsageRecordTypeLocalSource),
		rec("mount", 20, 2, 9, client.UsageRecordTypeCacheMount),
		rec("frontend", 7, 40, 1, client.UsageRecordTypeFrontend),
		rec("image", 100, 90, 1, client.UsageRecordTypeRegular),
		rec("busy", 3, 0, 1, client.UsageRecordTypeRegular),
	}
	all[4].Mutable, all[6].Shared, all[7].InUse = true, true, true
	return all
}

func TestForetell(t *testing.T) {
	for _, c := range []struct {
		o    client.PruneInfo
		free int64
		want string
	}{
		{client.PruneInfo{}, 0, "context mount top step base"},
		{client.PruneInfo{All: true}, 0, "context frontend image mount top step base"},
		// What is made of a record keeps it.
		{client.PruneInfo{KeepDuration: 5 * time.Hour}, 0, "context"},
		{client.PruneInfo{Filter: []string{"id~=^(base|step)$"}}, 0, ""},
		{client.PruneInfo{Filter: []string{"id~=^(top|step)$"}}, 0, "top step"},
		{client.PruneInfo{Filter: []string{"type==exec.cachemount", "type==source.local"}}, 0, "context mount"},
		{client.PruneInfo{Filter: []string{"mutable"}}, 0, "mount"},
		{client.PruneInfo{Filter: []string{"immutable,type!=source.local"}}, 0, "top step base"},
		{client.PruneInfo{All: true, Filter: []string{"shared"}}, 0, "image"},
		{client.PruneInfo{Filter: []string{"inuse"}}, 0, ""},
		// Without what images share there are 125 bytes.
		{client.PruneInfo{MaxUsedSpace: 126}, 0, ""},
		{client.PruneInfo{MaxUsedSpace: 121}, 0, "context"},
		{client.PruneInfo{MaxUsedSpace: 111}, 0, "context top"},
		{client.PruneInfo{MaxUsedSpace: 10, ReservedSpace: 121}, 0, "context"},
		{client.PruneInfo{MinFreeSpace: 50}, 50, "context"},
		{client.PruneInfo{MinFreeSpace: 50}, 40, "context top"},
		{client.PruneInfo{MinFreeSpace: 50, MaxUsedSpace: 1}, 60, "context top step base mount"},
	} {
		var got []string
		list, err := Foretell(cache(), c.o, c.free, now)
		for _, r := range list {
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != c.want || err != nil {
			t.Errorf("%+v: got %q, %v, want %q", c.o, got, err, c.want)
		}
	}
	if _, err := Foretell(nil, client.PruneInfo{Filter: []string{"=="}}, 0, now); err == nil {
		t.Error("a filter that cannot be read was accepted")
	}
}

// Records that were used as often and never are taken one after the other.
func TestForetellUnused(t *testing.T) {
	var all []*client.UsageInfo
	for i := range 5 {
		all = append(all, &client.UsageInfo{ID: fmt.Sprint(i), Size: 1})
	}
	if list, err := Foretell(all, client.PruneInfo{MaxUsedSpace: 3}, 0, now); len(list) != 3 || err != nil {
		t.Error(list, err)
	}
}
