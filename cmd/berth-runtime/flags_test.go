package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// theirs are the flags of the commands of runc 1.1 to 1.3, hidden ones included,
// as callers may give them.
var theirs = map[string]string{
	"checkpoint": "image-path work-path parent-path leave-running tcp-established tcp-skip-in-flight link-remap ext-unix-sk shell-job lazy-pages status-fd page-server file-locks pre-dump manage-cgroups-mode empty-ns auto-dedup",
	"create":     "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds",
	"delete":     "force f",
	"events":     "interval stats",
	"exec":       "console-socket pidfd-socket cwd env e tty t user u additional-gids g process p detach d pid-file process-label apparmor no-new-privs cap c preserve-fds cgroup ignore-paused",
	"features":   "",
	"kill":       "all a",
	"list":       "format f quiet q",
	"pause":      "",
	"ps":         "format f",
	"restore":    "console-socket image-path work-path tcp-established ext-unix-sk shell-job file-locks manage-cgroups-mode bundle b detach d pid-file no-subreaper no-pivot empty-ns auto-dedup lazy-pages lsm-profile lsm-mount-context",
	"resume":     "",
	"run":        "bundle b console-socket pidfd-socket detach d keep pid-file no-subreaper no-pivot no-new-keyring preserve-fds",
	"spec":       "bundle b rootless",
	"start":      "",
	"state":      "",
	"update":     "resources r blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period cpu-rt-runtime cpu-idle cpuset-cpus cpuset-mems kernel-memory kernel-memory-tcp memory memory-reservation memory-swap pids-limit l3-cache-schema mem-bw-schema",
}

// TestFlags: whatever runc's command line has is here, and its commands are all.
func TestFlags(t *testing.T) {
	for name, flags := range theirs {
		v, err := find(name)
		if err != nil {
			t.Error(err)
			continue
		}
		f := v.flagSet()
		for flag := range strings.FieldsSeq(flags) {
			if f.Lookup(flag) == nil {
				t.Errorf("%s has no flag %s", name, flag)
			}
		}
	}
	for _, v := range verbs() {
		if _, known := theirs[v.name]; !known {
			t.Errorf("%s is no command of runc's", v.name)
		}
	}
	if _, err := find("nothing"); err == nil {
		t.Error("an unknown command is found")
	}
}

// TestParse: flags may stand behind the container's name, but for commands that
// pass the rest on.
func TestParse(t *testing.T) {
	for _, row := range []struct{ line, rest string }{
		{"kill one --all KILL", "one KILL"},
		{"delete -f -- -x", "-x"},
		{"exec -t one ls -l --user", "one ls -l --user"},
		{"ps -f json one -e", "one -e"},
		{"checkpoint --pre-dump one --image-path x", "one"},
	} {
		args := strings.Fields(row.line)
		v, err := find(args[0])
		if err != nil {
			t.Fatal(err)
		}
		rest, err := v.parse(v.flagSet(), args[1:])
		if err != nil || !slices.Equal(rest, strings.Fields(row.rest)) {
			t.Errorf("%s: %q, %v", row.line, rest, err)
		}
	}
}

// TestServer: addresses of page servers, as runc takes them.
func TestServer(t *testing.T) {
	for text, want := range map[string]string{
		"":                "",
		"10.0.0.1:27":     "10.0.0.1 27",
		"[fe80::1]:65535": "fe80::1 65535",
		"localhost":       "error",
		":27":             "error",
		"localhost:":      "error",
		"localhost:0":     "error",
		"localhost:65536": "error",
		"localhost:ssh":   "error",
	} {
		s, err := server(text)
		got := ""
		switch {
		case err != nil:
			got = "error"
		case s != nil:
			got = fmt.Sprintf("%s %d", s.Address, s.Port)
		}
		if got != want {
			t.Errorf("%q: %s, not %s", text, got, want)
		}
	}
}

// TestReady: the descriptor of --status-fd gets one zero byte and is closed.
func TestReady(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := ready(int(r.Fd())); err == nil || !strings.Contains(err.Error(), "not writable") {
		t.Errorf("one that cannot be written to: %v", err)
	}
	if _, err := ready(1 << 20); err == nil {
		t.Error("one that is not open is taken")
	}
	if f, err := ready(-1); f != nil || err != nil {
		t.Errorf("none: %v", err)
	}
	fd, err := unix.Dup(int(w.Fd())) // it is ready's to close
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	tell, err := ready(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := tell(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "\x00" {
		t.Errorf("%q, %v", got, err)
	}
}
