package contents

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-engine/berth/oci"
)

const rpmSpec = `Name: %s
Version: %s
Release: 3
Epoch: %d
Summary: a package of a test
License: none
BuildArch: noarch
%%description
Nothing.
%%install
mkdir -p %%{buildroot}/usr/share/%[1]s
echo %[2]s > %%{buildroot}/usr/share/%[1]s/file
%%files
/usr/share/%[1]s
`

// TestRealRPM reads images whose packages the program rpm itself has installed,
// upgraded and removed.
func TestRealRPM(t *testing.T) {
	for _, program := range []string{"rpm", "rpmbuild"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("rpm is not installed (tools/setup test installs it)")
		}
	}
	for _, folder := range []string{"/var/lib/rpm", "/usr/lib/sysimage/rpm"} {
		t.Run(strings.ReplaceAll(folder[1:], "/", "-"), func(t *testing.T) {
			dir, root := t.TempDir(), t.TempDir()
			run := func(name string, args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), name, args...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s %q: %v\n%s", name, args, err, out)
				}
				return string(out)
			}
			// Debian's rpm refuses to install on a machine of dpkg's, unless told to.
			rpm := func(args ...string) string {
				t.Helper()
				return run("rpm", append([]string{"--root", root, "--dbpath", folder, "--define", "_db_backend sqlite"}, args...)...)
			}
			made := func(name, version string, epoch int) string {
				t.Helper()
				spec := filepath.Join(dir, name+version+".spec")
				if err := os.WriteFile(spec, fmt.Appendf(nil, rpmSpec, name, version, epoch), 0o600); err != nil {
					t.Fatal(err)
				}
				run("rpmbuild", "-bb", "--define", "_topdir "+dir, spec)
				return filepath.Join(dir, "RPMS/noarch", name+"-"+version+"-3.noarch.rpm")
			}
			rpm("--initdb")
			rpm("-i", "--force-debian", "--nodeps", made("anchor", "1.0", 0), made("rope", "2.0", 2), made("gone", "1", 0))
			before := rpmLayer(t, root)
			rpm("-U", "--force-debian", "--nodeps", made("anchor", "1.1~rc1", 0))
			rpm("-e", "--force-debian", "gone")
			after := rpmLayer(t, root)

			ns := store(t)
			r := reader(t, ns, Limits{})
			a := holding(t, r, "x", push(t, ns, "x", image(t, "amd64", before)))
			b := holding(t, r, "x", push(t, ns, "x", image(t, "amd64", before, after)))
			if want := []Package{{"anchor", "1.0-3", "noarch", "rpm"}, {"gone", "1-3", "noarch", "rpm"}, {"rope", "2:2.0-3", "noarch", "rpm"}}; !reflect.DeepEqual(a.Packages, want) {
				t.Errorf("%+v; rpm says\n%s", a.Packages, rpm("-qa"))
			}
			if want := []Package{{"anchor", "1.1~rc1-3", "noarch", "rpm"}, {"rope", "2:2.0-3", "noarch", "rpm"}}; !reflect.DeepEqual(b.Packages, want) {
				t.Errorf("%+v; rpm says\n%s", b.Packages, rpm("-qa"))
			}
		})
	}
}

// rpmLayer is a file system with what rpm keeps below root.
func rpmLayer(t *testing.T, root string) (layer []oci.Entry) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		layer = append(layer, file(strings.TrimPrefix(path, root+"/"), string(data)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}
