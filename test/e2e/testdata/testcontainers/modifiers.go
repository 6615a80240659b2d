package main

import (
	"time"

	"github.com/moby/moby/api/types/container"
)

// quick ends a container without the ten seconds that a shell lets pass.
func quick(c *container.Config) { c.StopSignal = "KILL" }

// healthy is when the file is there.
func healthy(c *container.Config) {
	quick(c)
	c.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "test", "-e", "/ready"}, Interval: 100 * time.Millisecond}
}
