package main

import (
	"cmp"

	"github.com/berth-engine/berth/build"
	"github.com/berth-engine/berth/config"
)

// cacheGC is the configured collection of the build cache.
func cacheGC(c config.BuilderGC) build.GC {
	gc := build.GC{
		Off:      c.Enabled != nil && !*c.Enabled,
		Reserved: either(c.Reserved, c.Keep), MaxUsed: build.Space(c.MaxUsed), MinFree: build.Space(c.MinFree),
	}
	for _, r := range c.Policy {
		gc.Rules = append(gc.Rules, build.Rule{
			All: r.All, Filters: r.Filter,
			Reserved: either(r.Reserved, r.Keep), MaxUsed: build.Space(r.MaxUsed), MinFree: build.Space(r.MinFree),
		})
	}
	return gc
}

// either is the one of two names of a bound that is given.
func either(a, b config.Space) build.Space {
	return build.Space{Bytes: cmp.Or(a.Bytes, b.Bytes), Percent: cmp.Or(a.Percent, b.Percent)}
}
