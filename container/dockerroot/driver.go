package dockerroot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

// Files is a directory in which a storage driver keeps a layer or what a
// container wrote.
type Files struct {
	Dir string
	// Whole: all files are in there, those of the layers below, too. Else there
	// is what overlayfs has written over those.
	Whole bool
}

// driver is a storage driver whose layers can be read.
type driver struct {
	name  string
	path  func(id string) string // below the data-root
	whole bool
}

var drivers = []driver{
	{"overlay2", func(id string) string { return filepath.Join("overlay2", id, "diff") }, false},
	{"vfs", func(id string) string { return filepath.Join("vfs", "dir", id) }, true},
}

func driverOf(name string) (driver, bool) {
	for _, d := range drivers {
		if d.name == name {
			return d, true
		}
	}
	return driver{}, false
}

// kept finds the directory whose name Docker has put down in a file below
// image/DRIVER/layerdb.
func (r *Root) kept(d driver, elem ...string) (Files, error) {
	data, err := os.ReadFile(r.in(append([]string{"image", d.name, "layerdb"}, elem...)...))
	if err != nil {
		return Files{}, err
	}
	id := strings.TrimSpace(string(data))
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return Files{}, fmt.Errorf("%q is not the name of a layer: %w", id, errdefs.ErrInvalidArgument)
	}
	f := Files{r.in(d.path(id)), d.whole}
	if _, err := os.Stat(f.Dir); err != nil {
		return Files{}, err
	}
	return f, nil
}
