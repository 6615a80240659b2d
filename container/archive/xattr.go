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

// setXattrs gives f the attributes of a header. Those that this file system
// has no place for are left out.
func setXattrs(f *os.File, records map[string]string) error {
	for key, value := range records {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || !file.Portable(name) {
			continue
		}
		err := file.SetXattr(f, name, value)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}
