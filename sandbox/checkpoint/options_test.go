package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/containerd/errdefs"
)

// TestOptions: whatever can be asked for reaches criu, in dumps and restorations
// alike, and nothing of it does when it is not asked for.
func TestOptions(t *testing.T) {
	for _, row := range []struct {
		name string
		set  func(*Options)
		get  func(*rpc.CriuOpts) any
		none any // what criu gets without
		want any
	}{
		{"tcp-established", func(o *Options) { o.TCPEstablished = true }, func(r *rpc.CriuOpts) any { return r.GetTcpEstablished() }, false, true},
		{"ext-unix-sk", func(o *Options) { o.ExtUnixSK = true }, func(r *rpc.CriuOpts) any { return r.GetExtUnixSk() }, false, true},
		{"shell-job", func(o *Options) { o.ShellJob = true }, func(r *rpc.CriuOpts) any { return r.GetShellJob() }, false, true},
		{"file-locks", func(o *Options) { o.FileLocks = true }, func(r *rpc.CriuOpts) any { return r.GetFileLocks() }, false, true},
		{"auto-dedup", func(o *Options) { o.AutoDedup = true }, func(r *rpc.CriuOpts) any { return r.GetAutoDedup() }, false, true},
		{"lazy-pages", func(o *Options) { o.LazyPages = true }, func(r *rpc.CriuOpts) any { return r.GetLazyPages() }, false, true},
		{"manage-cgroups-mode soft", func(o *Options) { o.CgroupsMode = "soft" }, func(r *rpc.CriuOpts) any { return r.GetManageCgroupsMode() }, rpc.CriuCgMode_DEFAULT, rpc.CriuCgMode_SOFT},
		{"manage-cgroups-mode full", func(o *Options) { o.CgroupsMode = "full" }, func(r *rpc.CriuOpts) any { return r.GetManageCgroupsMode() }, rpc.CriuCgMode_DEFAULT, rpc.CriuCgMode_FULL},
		{"manage-cgroups-mode strict", func(o *Options) { o.CgroupsMode = "strict" }, func(r *rpc.CriuOpts) any { return r.GetManageCgroupsMode() }, rpc.CriuCgMode_DEFAULT, rpc.CriuCgMode_STRICT},
		{"manage-cgroups-mode ignore", func(o *Options) { o.CgroupsMode = "ignore" }, func(r *rpc.CriuOpts) any { return r.GetManageCgroupsMode() }, rpc.CriuCgMode_DEFAULT, rpc.CriuCgMode_IGNORE},
		{"configuration", func(o *Options) { o.Config = "/etc/criu/x" }, func(r *rpc.CriuOpts) any { return r.GetConfigFile() }, "", "/etc/criu/x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, kind := range []string{"dump", "restore"} {
				for asked, want := range map[bool]any{false: row.none, true: row.want} {
					var o Options
					if asked {
						row.set(&o)
					}
					r, err := (&Dump{Options: o}).describe()
					if kind == "restore" {
						r, err = (&Restore{Options: o}).describe()
					}
					if err != nil {
						t.Fatal(err)
					}
					if got := row.get(r); got != want {
						t.Errorf("%s, asked for: %v: %v", kind, asked, got)
					}
				}
			}
		})
	}
	for _, mode := range []string{"odd", "SOFT", " "} {
		if _, err := (&Restore{Options: Options{CgroupsMode: mode}}).describe(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
}

// TestDumpOptions: those of dumps alone.
func TestDumpOptions(t *testing.T) {
	for _, row := range []struct {
		name       string
		dump       Dump
		get        func(*rpc.CriuOpts) any
		none, want any
	}{
		{"leave-running", Dump{LeaveRunning: true}, func(r *rpc.CriuOpts) any { return r.GetLeaveRunning() }, false, true},
		{"tcp-skip-in-flight", Dump{SkipInFlight: true}, func(r *rpc.CriuOpts) any { return r.GetTcpSkipInFlight() }, false, true},
		{"link-remap", Dump{LinkRemap: true}, func(r *rpc.CriuOpts) any { return r.GetLinkRemap() }, false, true},
		{"parent-path", Dump{Parent: "../a"}, func(r *rpc.CriuOpts) any { return r.GetParentImg() }, "", "../a"},
		{"parent-path tracks memory", Dump{Parent: "../a"}, func(r *rpc.CriuOpts) any { return r.GetTrackMem() }, false, true},
		{"parent-path of a pre-dump", Dump{PreDump: true, Parent: "../a"}, func(r *rpc.CriuOpts) any { return r.GetParentImg() }, "", "../a"},
		{"page-server", Dump{PageServer: &PageServer{"::1", 9}}, func(r *rpc.CriuOpts) any {
			return fmt.Sprintf("%s %d", r.GetPs().GetAddress(), r.GetPs().GetPort())
		}, " 0", "::1 9"},
		{"page-server of a pre-dump", Dump{PreDump: true, PageServer: &PageServer{"::1", 9}}, func(r *rpc.CriuOpts) any { return r.GetPs().GetPort() }, int32(0), int32(9)},
		{"freezer", Dump{Freezer: "/f"}, func(r *rpc.CriuOpts) any { return r.GetFreezeCgroup() }, "", "/f"},
	} {
		none, err := new(Dump).describe()
		if err != nil {
			t.Fatal(err)
		}
		r, err := row.dump.describe()
		if err != nil {
			t.Fatal(err)
		}
		if got, without := row.get(r), row.get(none); got != row.want || without != row.none {
			t.Errorf("%s: %v, without %v", row.name, got, without)
		}
	}
}

// TestDirectories: the files and the log have directories of their own, made if
// they are missing, and their parents are not.
func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	o := &Options{Images: filepath.Join(dir, "images"), Work: filepath.Join(dir, "work")}
	var r rpc.CriuOpts
	done, err := o.directories(&r)
	defer done()
	if err != nil {
		t.Fatal(err)
	}
	for path, fd := range map[string]int32{o.Images: r.GetImagesDirFd(), o.Work: r.GetWorkDirFd()} {
		if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil || to != path {
			t.Errorf("%s: descriptor of %s, %v", path, to, err)
		}
	}
	if o.logDir() != o.Work {
		t.Errorf("the log is in %s", o.logDir())
	}
	deep := &Options{Images: filepath.Join(dir, "no/such")}
	if done, err := deep.directories(&r); err == nil {
		done()
		t.Error("parents are made")
	}
}
