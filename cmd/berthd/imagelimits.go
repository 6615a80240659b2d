package main

import (
	"time"

	"github.com/berth-engine/berth/config"
	"github.com/berth-engine/berth/image"
)

// imageLimits says which images are removed without being asked.
func imageLimits(cfg *config.Config) image.Limits {
	amount := func(s config.Space) image.Amount { return image.Amount{Bytes: s.Bytes, Percent: s.Percent} }
	g := cfg.ImageGC
	return image.Limits{UnusedFor: time.Duration(g.UnusedFor), MaxUsed: amount(g.MaxUsed), MinFree: amount(g.MinFree), Tagged: g.Tagged}
}
