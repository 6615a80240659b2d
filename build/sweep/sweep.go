// Package sweep foretells what BuildKit would remove from a build cache, which
// it can only do and not say. It asks nothing and changes nothing: it goes by
// the list of records that every BuildKit gives, in the way of its cache
// manager, whose rules it follows.
package sweep

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/moby/buildkit/client"
)

// Foretell lists the records that a prune by o would remove, in its order. all
// is the whole cache: what is kept depends on what was made of it. free is how
// many bytes the cache's disk has left; it is read if o.MinFreeSpace is set.
func Foretell(all []*client.UsageInfo, o client.PruneInfo, free int64, now time.Time) ([]*client.UsageInfo, error) {
	filter, err := filters.ParseAll(o.Filter...)
	if err != nil {
		return nil, fmt.Errorf("prune filters %q: %w", o.Filter, err)
	}
	s := sweep{left: map[string]*client.UsageInfo{}, children: map[string]int{}}
	for _, r := range all {
		s.left[r.ID] = r
		if !r.Shared {
			s.total += r.Size
		}
		for _, p := range r.Parents {
			s.children[p]++
		}
	}
	s.keep = keepBytes(s.total, free, o)
	s.may = func(r *client.UsageInfo) bool { return may(r, o, now) && filter.Match(adapt(r)) }
	return s.run(), nil
}

// sweep is a cache while it is emptied.
type sweep struct {
	left        map[string]*client.UsageInfo
	children    map[string]int // of those left, by parent
	total, keep int64          // bytes; keep is 0 where nothing bounds them
	may         func(*client.UsageInfo) bool
}

// run removes all that nothing is made of, again and again; where some bytes
// may stay, one record at a time, the least useful first.
func (s *sweep) run() (gone []*client.UsageInfo) {
	for s.keep == 0 || s.total >= s.keep {
		var list []*client.UsageInfo
		for id, r := range s.left {
			if s.children[id] == 0 && s.may(r) {
				list = append(list, r)
			}
		}
		if len(list) == 0 {
			break
		}
		slices.SortFunc(list, func(a, b *client.UsageInfo) int { return strings.Compare(a.ID, b.ID) })
		if s.keep != 0 {
			list = byUse(list)[:1]
		}
		for _, r := range list {
			delete(s.left, r.ID)
			s.total -= r.Size
			for _, p := range r.Parents {
				s.children[p]--
			}
		}
		gone = append(gone, list...)
	}
	return gone
}

// may tells whether a record that nothing is made of may go.
func may(r *client.UsageInfo, o client.PruneInfo, now time.Time) bool {
	if r.InUse {
		return false
	}
	kept := r.RecordType == client.UsageRecordTypeInternal || r.RecordType == client.UsageRecordTypeFrontend || r.Shared
	if kept && !o.All {
		return false
	}
	return o.KeepDuration == 0 || r.LastUsedAt == nil || !r.LastUsedAt.After(now.Add(-o.KeepDuration))
}

// keepBytes is how many bytes bounds leave in the cache; 0: they bound nothing.
func keepBytes(total, free int64, o client.PruneInfo) int64 {
	keep := o.MaxUsedSpace
	if o.MinFreeSpace != 0 {
		switch excess := o.MinFreeSpace - free; {
		case excess > 0 && keep == 0:
			keep = total - excess
		case excess > 0:
			keep = min(keep, total-excess)
		case keep == 0:
			keep = total
		}
	}
	return max(keep, o.ReservedSpace)
}

// byUse sorts by a mark that each has for how long ago and how seldom it was
// used. Records that never were used have the lowest rank of theirs even if no
// other has it, as in BuildKit.
func byUse(list []*client.UsageInfo) []*client.UsageInfo {
	marks := map[string]float64{}
	never := &client.UsageInfo{}
	mark := func(compare func(a, b *client.UsageInfo) int) {
		slices.SortStableFunc(list, compare)
		rank, before := 1.0, never
		ranks := make([]float64, len(list))
		for i, r := range list {
			if compare(before, r) != 0 {
				rank, before = rank+1, r
			}
			ranks[i] = rank
		}
		for i, r := range list {
			marks[r.ID] += ranks[i] / rank
		}
	}
	mark(func(a, b *client.UsageInfo) int { return lastUse(a).Compare(lastUse(b)) })
	mark(func(a, b *client.UsageInfo) int { return cmp.Compare(a.UsageCount, b.UsageCount) })
	slices.SortStableFunc(list, func(a, b *client.UsageInfo) int { return cmp.Compare(marks[a.ID], marks[b.ID]) })
	return list
}

func lastUse(r *client.UsageInfo) time.Time {
	if r.LastUsedAt == nil {
		return time.Time{}
	}
	return *r.LastUsedAt
}

// adapt shows a record to filters with the fields that a prune looks at: unlike
// a listing, it knows nothing of parents.
func adapt(r *client.UsageInfo) filters.Adaptor {
	return filters.AdapterFunc(func(path []string) (string, bool) {
		if len(path) == 0 {
			return "", false
		}
		switch path[0] {
		case "id":
			return r.ID, r.ID != ""
		case "description":
			return r.Description, r.Description != ""
		case "type":
			return string(r.RecordType), r.RecordType != ""
		case "mutable":
			return "", r.Mutable
		case "immutable":
			return "", !r.Mutable
		case "shared":
			return "", r.Shared
		case "private":
			return "", !r.Shared
		}
		return "", false
	})
}
