package build

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	bkconfig "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/util/disk"
)

// GC says what of the cache is removed without being asked, after builds. The
// zero value is BuildKit's policy: at most 10 GB or a tenth of the disk are kept
// in any case, at most 100 GB or four fifths used, and a fifth stays free.
type GC struct {
	Off                        bool
	Reserved, MaxUsed, MinFree Space // bounds for BuildKit's rules
	Rules                      []Rule
}

// Rule removes what its filters select and its bounds do not keep.
type Rule struct {
	All                        bool     // also what frontends and other records use
	Filters                    []string // of the Engine API, "key=value"
	Reserved, MaxUsed, MinFree Space
}

// Space is an amount of disk space: bytes, or per cent of the disk.
type Space struct{ Bytes, Percent int64 }

func (s Space) buildkit() bkconfig.DiskSpace {
	return bkconfig.DiskSpace{Bytes: s.Bytes, Percentage: s.Percent}
}

// defaultDownload is the share of the disk, in per cent, that one file may take.
const defaultDownload = 20

// onDisk is the bound on a download in bytes, on the disk of a directory.
func (s Space) onDisk(dir string) (int64, error) {
	if s == (Space{}) {
		s.Percent = defaultDownload
	}
	stat, err := disk.GetDiskStat(dir)
	if err != nil {
		return 0, fmt.Errorf("size of the builder's disk: %w", err)
	}
	space := s.buildkit()
	return space.AsBytes(stat), nil
}

// policy is the collection in BuildKit's words, for a cache in the directory root.
func (g GC) policy(root string) ([]client.PruneInfo, error) {
	if g.Off {
		return nil, nil
	}
	stat, err := disk.GetDiskStat(root)
	if err != nil {
		return nil, fmt.Errorf("free space for the build cache: %w", err)
	}
	rules := bkconfig.DefaultGCPolicy(bkconfig.GCConfig{
		GCReservedSpace: g.Reserved.buildkit(), GCMaxUsedSpace: g.MaxUsed.buildkit(), GCMinFreeSpace: g.MinFree.buildkit(),
	}, stat)
	if len(g.Rules) > 0 {
		rules = nil
	}
	for _, r := range g.Rules {
		rule := bkconfig.GCPolicy{
			All: r.All, ReservedSpace: r.Reserved.buildkit(), MaxUsedSpace: r.MaxUsed.buildkit(), MinFreeSpace: r.MinFree.buildkit(),
		}
		if rule.Filters, rule.KeepDuration.Duration, err = ruleFilters(r.Filters); err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	var out []client.PruneInfo
	for _, r := range rules {
		out = append(out, client.PruneInfo{
			All: r.All, Filter: r.Filters, KeepDuration: r.KeepDuration.Duration,
			ReservedSpace: r.ReservedSpace.AsBytes(stat), MaxUsedSpace: r.MaxUsedSpace.AsBytes(stat), MinFreeSpace: r.MinFreeSpace.AsBytes(stat),
		})
	}
	return out, nil
}

// ruleFilters separates the age from what else selects; all that is said has to
// hold, as in Docker, where BuildKit takes any of a list.
func ruleFilters(list []string) (filters []string, unused time.Duration, err error) {
	for _, f := range list {
		key, value, _ := strings.Cut(f, "=")
		if key == "unused-for" || key == "until" {
			if unused, err = time.ParseDuration(value); err != nil {
				return nil, 0, fmt.Errorf("collection of the build cache: %w", err)
			}
			continue
		}
		one, err := PruneFilter(key, value)
		if err != nil {
			return nil, 0, fmt.Errorf("collection of the build cache: %w", err)
		}
		filters = append(filters, one)
	}
	return together(filters), unused, nil
}

// together is one filter that is true if all are.
func together(filters []string) []string {
	if len(filters) == 0 {
		return nil
	}
	return []string{strings.Join(filters, ",")}
}
