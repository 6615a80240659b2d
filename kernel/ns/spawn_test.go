package ns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// childName is the test program's os.Args[0] as a spawned process.
const childName = "ns-test-child"

func TestMain(m *testing.M) {
	if os.Args[0] == childName {
		tell()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// seen is what a spawned process tells of itself.
type seen struct {
	Args, Env  []string
	FDs        []string
	NS         map[string]string
	UID, GID   int
	Groups     []int
	PID, SID   int
	Dir, First string // working directory, and what / held at the start
	In         string // what descriptor 0 gave
	Blocked    string // signals
}

func tell() {
	var s seen
	first, err := os.ReadDir("/")
	s.First = fmt.Sprint(len(first), err)
	if slices.Contains(os.Args, "enter") { // the real root is descriptor 3
		if err := errors.Join(syscall.Fchdir(3), syscall.Chroot("."), syscall.Close(3)); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(3)
		}
	}
	s.Args, s.Env, s.NS = os.Args, os.Environ(), map[string]string{}
	s.UID, s.GID, s.PID = os.Getuid(), os.Getgid(), os.Getpid()
	s.Groups, _ = os.Getgroups()
	s.SID, _ = unix.Getsid(0)
	s.Dir, _ = os.Getwd()
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		link, err := os.Readlink("/proc/self/fd/" + e.Name())
		// Go's runtime has an epoll instance and its group's limit open.
		if err == nil && !strings.HasPrefix(link, "/proc/") && !strings.HasPrefix(link, "anon_inode:") && !strings.Contains(link, "/cpu.") {
			s.FDs = append(s.FDs, e.Name())
		}
	}
	names, _ := os.ReadDir("/proc/self/ns")
	for _, n := range names {
		s.NS[n.Name()], _ = os.Readlink("/proc/self/ns/" + n.Name())
	}
	in, _ := io.ReadAll(os.Stdin)
	s.In = string(in)
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "SigBlk:"); ok {
			s.Blocked = strings.TrimSpace(v)
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(&s)
}

// self is the test program in a sealed memfd.
var self = sync.OnceValue(func() *os.File {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	defer program.Close()
	f, err := SealedMemfd("self", program)
	if err != nil {
		panic(err)
	}
	return f
})

// see spawns the test program and returns what it tells.
func see(t *testing.T, s *SpawnSpec) *seen {
	t.Helper()
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.WriteString("input")
	w.Close()
	s.Exe, s.Args, s.Files = self(), append([]string{childName}, s.Args...), []*os.File{in, out, os.Stderr}
	pid, pidfd, err := Spawn(s)
	in.Close()
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status != 0 {
		t.Fatalf("%v, %x: %s", err, status, text)
	}
	got := new(seen)
	if err := json.Unmarshal(text, got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return got
}

// openFiles lists our descriptors.
func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// target is a process in new namespaces of all these kinds, for as long as the
// test runs. Root of its user namespace is user 100000.
func target(t *testing.T, kinds uint64) (pid int, pidfd *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Before Linux 6.2 only a second process is in a new time namespace.
	s := &SpawnSpec{Exe: self(), Args: []string{childName}, Files: []*os.File{r, os.Stderr, os.Stderr}, Unshare: kinds &^ unix.CLONE_NEWUSER, Twice: true}
	if kinds&unix.CLONE_NEWUSER != 0 {
		ids := []IDMap{{0, 100000, 1000}}
		user, err := NewUserNS(ids, ids)
		if err != nil {
			t.Fatal(err)
		}
		defer user.Close()
		s.Root, s.Join = true, []JoinNS{{user, unix.CLONE_NEWUSER}}
	}
	pid, pidfd, err = Spawn(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = PidfdSignal(pidfd, syscall.SIGKILL)
		reap(pid)
		pidfd.Close()
		w.Close() // until now it waits for its input
	})
	return pid, pidfd
}

func TestSpawnPlain(t *testing.T) {
	inherited, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	if _, err := unix.FcntlInt(inherited.Fd(), unix.F_SETFD, 0); err != nil { // not close-on-exec
		t.Fatal(err)
	}
	self()
	before := openFiles(t)
	for range 20 {
		got := see(t, &SpawnSpec{Args: []string{"a"}, Env: []string{"A=b"}, Setsid: true})
		if !slices.Equal(got.Args, []string{childName, "a"}) || !slices.Equal(got.Env, []string{"A=b"}) || got.In != "input" {
			t.Errorf("%q %q %q", got.Args, got.Env, got.In)
		}
		if !slices.Equal(got.FDs, []string{"0", "1", "2"}) {
			t.Errorf("descriptors %q", got.FDs)
		}
		if got.SID != got.PID || got.Dir != "/" || got.Blocked != strings.Repeat("0", 16) {
			t.Errorf("session %d of %d, directory %q, blocked signals %s", got.SID, got.PID, got.Dir, got.Blocked)
		}
	}
	if after := openFiles(t); len(after) != len(before) {
		t.Errorf("descriptors %q, then %q", before, after)
	}
}

// TestSpawnMovesFiles: the program's descriptors do not get in each other's way.
func TestSpawnMovesFiles(t *testing.T) {
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// Descriptor n of the child is n of ours, for many n, but in another order.
	files := []*os.File{in, out, os.Stderr}
	for range 40 {
		files = append(files, out, in)
	}
	pid, pidfd, err := Spawn(&SpawnSpec{Exe: self(), Args: []string{childName}, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	out.Close()
	var got seen
	if err := json.NewDecoder(r).Decode(&got); err != nil || len(got.FDs) != len(files) {
		t.Errorf("%q, %v", got.FDs, err)
	}
	r.Close()
	reap(pid)
}

// TestSpawnJoins enters namespaces of every kind, by one pidfd and one by one.
func TestSpawnJoins(t *testing.T) {
	const kinds = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME
	pid, pidfd := target(t, kinds)
	want := map[string]string{}
	dir := "/proc/" + strconv.Itoa(pid) + "/ns"
	var oneByOne []JoinNS
	for _, k := range []struct {
		name string
		kind int
	}{
		{"user", unix.CLONE_NEWUSER},
		{"pid", unix.CLONE_NEWPID},
		{"mnt", unix.CLONE_NEWNS},
		{"net", unix.CLONE_NEWNET},
		{"uts", unix.CLONE_NEWUTS},
		{"ipc", unix.CLONE_NEWIPC},
		{"cgroup", unix.CLONE_NEWCGROUP},
		{"time", unix.CLONE_NEWTIME},
	} {
		link, err := os.Readlink(filepath.Join(dir, k.name))
		if err != nil {
			t.Fatal(err)
		}
		if own, _ := os.Readlink("/proc/self/ns/" + k.name); own == link {
			t.Fatalf("the target has our %s namespace", k.name)
		}
		want[k.name] = link
		f, err := os.Open(filepath.Join(dir, k.name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		oneByOne = append(oneByOne, JoinNS{f, k.kind})
	}
	for name, join := range map[string][]JoinNS{"pidfd": {{pidfd, kinds}}, "files": oneByOne} {
		t.Run(name, func(t *testing.T) {
			got := see(t, &SpawnSpec{Join: join, Root: true, Setsid: true})
			for name, link := range want {
				if got.NS[name] != link {
					t.Errorf("%s: %s instead of %s", name, got.NS[name], link)
				}
			}
			if got.UID != 0 || got.GID != 0 || len(got.Groups) != 0 || got.PID == 0 || !slices.Equal(got.FDs, []string{"0", "1", "2"}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestSpawnEmptyRoot: the program finds nothing until it enters the root of
// the joined mount namespace.
func TestSpawnEmptyRoot(t *testing.T) {
	_, pidfd := target(t, unix.CLONE_NEWNS|unix.CLONE_NEWPID)
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	empty := os.NewFile(uintptr(fd), "empty")
	defer empty.Close()
	got := see(t, &SpawnSpec{Args: []string{"enter"}, Join: []JoinNS{{pidfd, unix.CLONE_NEWNS | unix.CLONE_NEWPID}}, Empty: empty})
	if got.First != "0 <nil>" || got.Dir != "/" || !slices.Equal(got.FDs, []string{"0", "1", "2"}) {
		t.Errorf("%+v", got)
	}
}

// TestSpawnFails: the step is named, and nothing is left.
func TestSpawnFails(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	self()
	before := openFiles(t)
	for _, c := range []struct {
		step string
		errn syscall.Errno
		spec SpawnSpec
	}{
		{"execveat", syscall.EACCES, SpawnSpec{Exe: null}},
		{"join namespaces", syscall.EINVAL, SpawnSpec{Exe: self(), Join: []JoinNS{{null, unix.CLONE_NEWNET}}}},
		{"make namespaces", syscall.EINVAL, SpawnSpec{Exe: self(), Unshare: unix.CLONE_NEWNET | unix.CLONE_INTO_CGROUP>>1}},
		{"clone", syscall.EBADF, SpawnSpec{Exe: self(), Cgroup: null}},
	} {
		c.spec.Args, c.spec.Files = []string{childName}, []*os.File{null, null, null}
		pid, pidfd, err := Spawn(&c.spec)
		e := (*SpawnError)(nil)
		if pid != 0 || pidfd != nil || !errors.As(err, &e) || e.Step != c.step || e.Err != c.errn {
			t.Errorf("%s: %d, %v, %v", c.step, pid, pidfd, err)
		}
	}
	refuse := SpawnSpec{Exe: self(), Args: []string{childName}, Before: func(int) error { return io.ErrNoProgress }}
	if _, _, err := Spawn(&refuse); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("children are left: %v", err)
	}
	if after := openFiles(t); len(after) != len(before) {
		t.Errorf("descriptors %q, then %q", before, after)
	}
}

// TestSpawnMany from many goroutines at a time.
func TestSpawnMany(t *testing.T) {
	_, pidfd := target(t, unix.CLONE_NEWPID|unix.CLONE_NEWUTS)
	self()
	before := openFiles(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
				if err != nil {
					t.Error(err)
					return
				}
				pid, pidfd, err := Spawn(&SpawnSpec{
					Exe: self(), Args: []string{childName}, Files: []*os.File{null, null, null},
					Join: []JoinNS{{pidfd, unix.CLONE_NEWPID | unix.CLONE_NEWUTS}},
				})
				null.Close()
				if err != nil {
					t.Error(err)
					return
				}
				reap(pid)
				pidfd.Close()
			}
		})
	}
	all.Wait()
	if after := openFiles(t); len(after) != len(before) {
		t.Errorf("descriptors %q, then %q", before, after)
	}
}

func BenchmarkSpawn(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	program, err := os.Open("/bin/true")
	if err != nil {
		b.Fatal(err)
	}
	defer program.Close()
	for b.Loop() {
		pid, pidfd, err := Spawn(&SpawnSpec{Exe: program, Args: []string{"true"}, Files: []*os.File{null, null, null}})
		if err != nil {
			b.Fatal(err)
		}
		reap(pid)
		pidfd.Close()
	}
}
