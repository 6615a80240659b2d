package config

import (
	"encoding/json"
	"fmt"
	"os"
)

// readSeccomp reads the profile that new containers get. What is in it, the
// start of the first container finds out: that depends on its capabilities.
func (c *Config) readSeccomp() error {
	switch c.SeccompProfile {
	case "", "default", "builtin":
		c.Seccomp = "builtin"
		return nil
	case "unconfined":
		c.Seccomp = c.SeccompProfile
		return nil
	}
	profile, err := os.ReadFile(c.SeccompProfile)
	if err != nil {
		return fmt.Errorf("seccomp-profile: %w", err)
	}
	if !json.Valid(profile) {
		return fmt.Errorf("seccomp-profile: %s is not JSON", c.SeccompProfile)
	}
	c.Seccomp = string(profile)
	return nil
}
