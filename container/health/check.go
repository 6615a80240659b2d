package health

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// A Check is when to ask and how to judge, with all defaults applied.
type Check struct {
	Interval      time.Duration
	Timeout       time.Duration // of one answer
	StartPeriod   time.Duration // in which failures do not count until the first success
	StartInterval time.Duration // within StartPeriod
	Retries       int           // failures in a row that make unhealthy
}

// NewCheck applies Docker's defaults to a configuration.
func NewCheck(c *container.HealthConfig) Check {
	or := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	k := Check{
		Interval: or(c.Interval, 30*time.Second), Timeout: or(c.Timeout, 30*time.Second),
		StartPeriod: c.StartPeriod, StartInterval: or(c.StartInterval, 5*time.Second), Retries: c.Retries,
	}
	if k.Retries <= 0 {
		k.Retries = 3
	}
	return k
}

// Wanted tells whether a configuration asks for checks at all.
func Wanted(c *container.HealthConfig) bool {
	return c != nil && len(c.Test) > 0 && c.Test[0] != "NONE"
}

// Command is what to run in the container, where shell runs CMD-SHELL tests.
func Command(c *container.HealthConfig, shell []string) ([]string, error) {
	switch kind := c.Test[0]; kind {
	case "CMD":
		return c.Test[1:], nil
	case "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(append([]string{}, shell...), c.Test[1:]...), nil
	default:
		return nil, fmt.Errorf("unknown probe type '%s' in healthcheck (expected 'CMD')", kind)
	}
}

// Validate refuses what cannot be meant; the errors are
// errdefs.InvalidArgument and Docker's.
func Validate(c *container.HealthConfig) error {
	if c == nil {
		return nil
	}
	bad := func(format string, args ...any) error {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", c.Interval}, {"Timeout", c.Timeout}, {"StartPeriod", c.StartPeriod}, {"StartInterval", c.StartInterval}} {
		if d.value != 0 && d.value < time.Millisecond {
			return bad("%s in Healthcheck cannot be less than 1ms", d.name)
		}
	}
	if c.Retries < 0 {
		return bad("Retries in Healthcheck cannot be negative")
	}
	if len(c.Test) == 0 {
		return nil
	}
	switch kind := c.Test[0]; {
	case kind == "NONE":
	case kind != "CMD" && kind != "CMD-SHELL":
		return bad("unknown probe type '%s' in healthcheck: it must be NONE, CMD or CMD-SHELL", kind)
	case len(c.Test) == 1:
		return bad("healthcheck %s without a command", kind)
	}
	return nil
}

// Merge completes a request's configuration with the image's, field by field.
func Merge(request, image *container.HealthConfig) *container.HealthConfig {
	switch {
	case image == nil:
		return request
	case request == nil:
		c := *image
		return &c
	}
	c := *request
	if len(c.Test) == 0 {
		c.Test = image.Test
	}
	for _, d := range []struct{ to, from *time.Duration }{
		{&c.Interval, &image.Interval},
		{&c.Timeout, &image.Timeout},
		{&c.StartPeriod, &image.StartPeriod},
		{&c.StartInterval, &image.StartInterval},
	} {
		if *d.to == 0 {
			*d.to = *d.from
		}
	}
	if c.Retries == 0 {
		c.Retries = image.Retries
	}
	return &c
}
