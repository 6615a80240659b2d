package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

const kernelLog = `(00.000001) Version: 3.17.1 (gitid 0)
(00.064154) vdso: Parsing at 7ffe0 7fff0
(00.064154) Error (criu/vdso.c:268): vdso: Unexpected rt vDSO area bounds
(00.064154) Error (criu/kerndat.c:1615): kerndat_vdso_fill_symtable failed when initializing kerndat.
(00.064173) Adjust mmap_min_addr 0x1000 -> 0x10000
`

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, dumpLog), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name, log, want string
		kernel          bool
	}{
		{"the kernel's fault", kernelLog, "vdso: Unexpected rt vDSO area bounds; kerndat_vdso_fill_symtable failed when initializing kerndat.", true},
		{"another fault", "(00.1) Error (criu/cr-dump.c:1): Can't lookup mount=27 for fd=2 path=/x\n", "Can't lookup mount=27 for fd=2 path=/x", false},
		{"first ones and the last", "Error (a:1): a\nError (a:1): b\nError (a:1): c\nError (a:1): d\nError (a:1): e\n", "a; b; c; e", false},
		{"a page server that is not there", "(00.2) Connecting to server h:1\n(00.3) Can't connect to server h:1\n(00.4) Error (a:1): Dumping FAILED.\n", "Can't connect to server h:1; Dumping FAILED.", false},
		{"nothing said", "(00.1) fine\n", "see " + filepath.Join(dir, dumpLog), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			write(row.log)
			o := &Options{Images: dir}
			err := o.explain(errRefused, dumpLog)
			if !strings.Contains(err.Error(), row.want) || errdefs.IsNotImplemented(err) != row.kernel {
				t.Errorf("%v, not implemented: %v", err, errdefs.IsNotImplemented(err))
			}
		})
	}
	other := errors.New("other")
	if err := (&Options{Images: dir}).explain(other, dumpLog); !errors.Is(err, other) || err.Error() != "other" {
		t.Errorf("another error became %v", err)
	}
}

func TestNoCriu(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := (&Dump{Options: Options{Images: t.TempDir()}, Pid: 1}).Run(context.Background())
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "criu is not installed") {
		t.Error(err)
	}
}

func TestRequests(t *testing.T) {
	dump := &Dump{
		Pid: 7, Root: "/root", Freezer: "/freezer", Parent: "../before", PageServer: &PageServer{"localhost", 27},
		Mounts: []Mount{{"/conf", "/real/conf"}}, Namespaces: []Namespace{{"net", "/proc/self/ns/net"}},
	}
	opts, err := dump.describe()
	if err != nil {
		t.Fatal(err)
	}
	if opts.GetPid() != 7 || !opts.GetTrackMem() || opts.GetPs().GetPort() != 27 || len(opts.ExtMnt) != 1 || opts.ExtMnt[0].GetKey() != "/real/conf" {
		t.Errorf("%+v", opts)
	}
	if e := opts.GetExternal(); len(e) != 1 || !strings.HasPrefix(e[0], "net[") || !strings.HasSuffix(e[0], "]:extRootnetNS") {
		t.Errorf("external: %q", e)
	}
	dump.PreDump = true
	if opts, err = dump.describe(); err != nil || len(opts.ExtMnt) != 0 {
		t.Errorf("a pre-dump has mounts: %v, %v", opts.ExtMnt, err)
	}
	restore := &Restore{
		Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, Descriptors: []string{"/dev/null", "pipe:[1]", "pipe:[2]"},
		Namespaces: dump.Namespaces, Mounts: []Mount{{"/conf", "/srv/conf"}},
	}
	if opts, err = restore.describe(); err != nil {
		t.Fatal(err)
	}
	files, err := restore.inherit(opts)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	files[0].Close()
	var got []string
	for _, f := range opts.GetInheritFd() {
		got = append(got, f.GetKey()+strconv.Itoa(int(f.GetFd())))
	}
	if want := []string{"pipe:[1]1", "pipe:[2]2", "extRootnetNS4"}; !slices.Equal(got, want) {
		t.Errorf("inherited %q, not %q", got, want)
	}
	dump.CgroupsMode = "odd"
	if _, err := dump.describe(); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func TestGroupRoots(t *testing.T) {
	var got []string
	for _, r := range groupRoots("5:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/d\n") {
		got = append(got, r.GetCtrl()+"="+r.GetPath())
	}
	if want := []string{"cpu=/a", "cpuacct=/a", "name=systemd=/b:c", "=/d"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
