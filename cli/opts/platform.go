package opts

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var platformPart = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]+$`) })

// ParsePlatform parses os[/arch[/variant]], an architecture alone, and the
// usual other names of architectures.
func ParsePlatform(s string) (*ocispec.Platform, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if !platformPart().MatchString(p) {
			return nil, fmt.Errorf("%q is an invalid component of %q: platform specifier component must match %q: invalid argument", p, s, platformPart().String())
		}
	}
	p := &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	switch len(parts) {
	case 1:
		if arch, variant, ok := knownArch(parts[0]); ok {
			p.Architecture, p.Variant = arch, variant
		} else {
			p.OS = strings.ToLower(parts[0])
		}
	case 2, 3:
		p.OS = strings.ToLower(parts[0])
		p.Architecture = strings.ToLower(parts[1])
		if arch, variant, ok := knownArch(parts[1]); ok {
			p.Architecture, p.Variant = arch, variant
		}
		if len(parts) == 3 {
			p.Variant = parts[2]
		}
	default:
		return nil, fmt.Errorf("%q: cannot parse platform specifier: invalid argument", s)
	}
	if p.Architecture == "arm64" && (p.Variant == "v8" || p.Variant == "8") {
		p.Variant = ""
	}
	return p, nil
}

func knownArch(s string) (arch, variant string, ok bool) {
	switch strings.ToLower(s) {
	case "amd64", "x86_64", "x86-64":
		return "amd64", "", true
	case "386", "i386", "i686", "x86":
		return "386", "", true
	case "arm64", "aarch64":
		return "arm64", "", true
	case "arm", "armhf":
		return "arm", "v7", true
	case "armel":
		return "arm", "v6", true
	case "ppc64le", "s390x", "riscv64", "loong64", "mips64le", "ppc64", "mips64":
		return strings.ToLower(s), "", true
	}
	return "", "", false
}
