package contents

import (
	"bufio"
	"bytes"
	"cmp"
	"strings"
)

// Package is something that a distribution's package manager installed.
type Package struct {
	Name, Version, Arch string
	Manager             string // dpkg, apk or rpm
}

// maxPackageList bounds a list that is read into memory: a full Debian has less
// than 10 MB.
const maxPackageList = 32 << 20

func comparePackages(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Manager, b.Manager))
}

// packageList tells how to read the list of packages at a path, nil where there
// is none. Distroless images have a file for each package in status.d.
func packageList(path string) func([]byte) []Package {
	switch {
	case path == "var/lib/dpkg/status":
		return dpkg
	case strings.HasPrefix(path, "var/lib/dpkg/status.d/") && !strings.HasSuffix(path, ".md5sums"):
		return func(data []byte) []Package {
			// They are installed by being there and have no Status.
			return stanzas(data, map[string]string{"Package": "name", "Version": "version", "Architecture": "arch"}, "dpkg")
		}
	case path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed":
		return func(data []byte) []Package {
			return stanzas(data, map[string]string{"P": "name", "V": "version", "A": "arch"}, "apk")
		}
	}
	return nil
}

// dpkg leaves out what was removed and has left its configuration.
func dpkg(data []byte) []Package {
	var installed []byte
	for stanza := range bytes.SplitSeq(data, []byte("\n\n")) {
		if bytes.Contains(stanza, []byte(" ok installed")) {
			installed = append(append(installed, stanza...), "\n\n"...)
		}
	}
	return stanzas(installed, map[string]string{"Package": "name", "Version": "version", "Architecture": "arch"}, "dpkg")
}

// stanzas reads "Key: value" lines in blocks with empty lines between; apk
// writes no space after the colon.
func stanzas(data []byte, keys map[string]string, manager string) []Package {
	var list []Package
	p := Package{Manager: manager}
	flush := func() {
		if p.Name != "" {
			list = append(list, p)
		}
		p = Package{Manager: manager}
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			flush()
			continue
		}
		key, value, found := strings.Cut(line, ":")
		if !found {
			continue
		}
		switch keys[key] {
		case "name":
			p.Name = strings.TrimSpace(value)
		case "version":
			p.Version = strings.TrimSpace(value)
		case "arch":
			p.Arch = strings.TrimSpace(value)
		}
	}
	flush()
	return list
}
