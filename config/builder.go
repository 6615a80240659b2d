package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// Builder is the key "builder": how the builder keeps its cache, and what builds
// may do.
type Builder struct {
	GC           BuilderGC           `json:"gc"`
	Entitlements BuilderEntitlements `json:"entitlements"`
	MaxDownload  Space               `json:"maxDownload"` // of one file or repository that a build gets from an address; zero: 20%
}

// UnmarshalJSON refuses keys that it does not know, as the whole file does.
func (b *Builder) UnmarshalJSON(data []byte) error {
	type plain Builder
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(b)); err != nil {
		return fmt.Errorf("builder: %w", err)
	}
	return nil
}

// BuilderGC says what of the build cache is removed by itself. Sizes are Docker's:
// "20GB", or "10%" of the disk.
type BuilderGC struct {
	Enabled  *bool         `json:"enabled"` // nil: true
	Policy   []BuilderRule `json:"policy"`  // none: BuildKit's rules, with these bounds:
	Keep     Space         `json:"defaultKeepStorage"`
	Reserved Space         `json:"defaultReservedSpace"` // Keep's newer name
	MaxUsed  Space         `json:"defaultMaxUsedSpace"`
	MinFree  Space         `json:"defaultMinFreeSpace"`
}

// BuilderRule is one rule of a policy. Rules apply in their order.
type BuilderRule struct {
	All      bool     `json:"all"`    // also what frontends and other records use
	Filter   []string `json:"filter"` // "unused-for=48h", "type=exec.cachemount"
	Keep     Space    `json:"keepStorage"`
	Reserved Space    `json:"reservedSpace"`
	MaxUsed  Space    `json:"maxUsedSpace"`
	MinFree  Space    `json:"minFreeSpace"`
}

// BuilderEntitlements are what a build may do if its client allows it, too.
type BuilderEntitlements struct {
	NetworkHost      *bool `json:"network-host"`      // nil: true
	SecurityInsecure *bool `json:"security-insecure"` // nil: false
	Device           *bool `json:"device"`            // nil: true
}

// Granted are the entitlements as BuildKit calls them.
func (e BuilderEntitlements) Granted() []string {
	list := []string{}
	for _, x := range []struct {
		name      string
		set       *bool
		otherwise bool
	}{
		{"network.host", e.NetworkHost, true},
		{"security.insecure", e.SecurityInsecure, false},
		{"device", e.Device, true},
	} {
		if x.set == nil && x.otherwise || x.set != nil && *x.set {
			list = append(list, x.name)
		}
	}
	return list
}

// Space is an amount of disk space.
type Space struct {
	Bytes   int64
	Percent int64 // of the disk, 1 to 100; counts if Bytes is 0
}

// UnmarshalText reads "20GB" or "10%".
func (s *Space) UnmarshalText(text []byte) error {
	*s = Space{}
	if len(text) == 0 {
		return nil
	}
	if percent, ok := strings.CutSuffix(string(text), "%"); ok {
		n, err := strconv.ParseInt(percent, 10, 64)
		if err != nil || n < 1 || n > 100 {
			return fmt.Errorf("invalid size '%s': want 1%% to 100%%", text)
		}
		s.Percent = n
		return nil
	}
	n, err := units.RAMInBytes(string(text))
	if err != nil {
		return err
	}
	s.Bytes = n
	return nil
}

func (c *Config) checkBuilder() error {
	for i, r := range c.Builder.GC.Policy {
		if r.Keep != (Space{}) && r.Reserved != (Space{}) {
			return fmt.Errorf("builder: rule %d of gc.policy has both keepStorage and reservedSpace, which mean the same", i+1)
		}
		for _, f := range r.Filter {
			if !strings.Contains(f, "=") {
				return fmt.Errorf("builder: invalid filter '%s' in gc.policy: want key=value", f)
			}
		}
	}
	if c.Builder.GC.Keep != (Space{}) && c.Builder.GC.Reserved != (Space{}) {
		return fmt.Errorf("builder: gc has both defaultKeepStorage and defaultReservedSpace, which mean the same")
	}
	return nil
}
