package opts

import (
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platforms is a flag for platforms: separated by commas, given several times, or
// both.
type Platforms []ocispec.Platform

// String is what usage texts show as default: nothing.
func (*Platforms) String() string { return "" }

// Type names the value in usage texts; it is Docker's, which takes one.
func (*Platforms) Type() string { return "string" }

// Set adds platforms.
func (p *Platforms) Set(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		parsed, err := ParsePlatform(one)
		if err != nil {
			return err
		}
		*p = append(*p, *parsed)
	}
	return nil
}

// PlatformList is Platforms where Docker takes several, too.
type PlatformList struct{ *Platforms }

// Type names the value in usage texts.
func (PlatformList) Type() string { return "strings" }
