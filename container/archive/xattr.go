package archive

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/berth-engine/berth/kernel/file"
)

// paxXattr begins the records of a header that hold extended attributes.
const paxXattr = "SCHILY.xattr."

// capability is the attribute with the capabilities of a program.
const capability = "security.capability"

// mayCarry tells which attributes travel in streams. Others steer the kernel
// or a file system: trusted.overlay.… would let a stream forge whiteouts and
// redirects, labels of security modules are the host's to give.
func mayCarry(name string) bool {
	return name == capability || strings.HasPrefix(name, "user.") ||
		name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// setXattrs gives f the attributes of a header. Those that this file system
// has no place for are left out.
func setXattrs(f *os.File, records map[string]string) error {
	for key, value := range records {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || !mayCarry(name) {
			continue
		}
		err := file.SetXattr(f, name, value)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}
