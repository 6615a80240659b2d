package config

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
)

// OwnRuntime is the name of the runtime that is part of the engine.
const OwnRuntime = "berth"

func (c *Config) checkRuntimes() error {
	for _, name := range slices.Sorted(maps.Keys(c.Runtimes)) {
		r := c.Runtimes[name]
		switch {
		case name == "":
			return fmt.Errorf("runtimes: a runtime without a name")
		case name == OwnRuntime:
			return fmt.Errorf("runtimes: the name %s is that of Berth's own", name)
		case r.Type != "" || r.Options != nil:
			return fmt.Errorf("runtimes: %s: runtimeType and options are for containerd's shims, which Berth does without: name the runtime's program in path", name)
		case r.Path == "":
			return fmt.Errorf("runtimes: %s has no path", name)
		}
	}
	if _, ok := c.Runtimes[c.DefaultRuntime]; !ok && !slices.Contains([]string{"", OwnRuntime, "runc"}, c.DefaultRuntime) {
		return fmt.Errorf("default-runtime: there is no runtime %s", c.DefaultRuntime)
	}
	return nil
}

// Commands are the runtimes as they are called: the program's absolute path, and
// the arguments that come first. A program that is not on the PATH keeps its
// name, which a start then complains of.
func (c *Config) Commands() map[string][]string {
	all := map[string][]string{}
	for name, r := range c.Runtimes {
		path := r.Path
		if !filepath.IsAbs(path) {
			if found, err := exec.LookPath(path); err == nil {
				path = found
			}
		}
		all[name] = append([]string{path}, r.Args...)
	}
	return all
}
