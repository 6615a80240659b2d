package cgroup

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// kernelLog finds in the kernel's log who was killed for want of memory. The
// line is there before the kernel counts the kill.
type kernelLog struct {
	mu    sync.Mutex
	fd    int // of /dev/kmsg; negative: it cannot be read
	kills []loggedKill
}

type loggedKill struct {
	group string // from the root of the hierarchy, as the kernel sees it
	OOMKill
}

// openKernelLog begins at the log's end.
func openKernelLog() *kernelLog {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &kernelLog{fd: -1}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		unix.Close(fd)
		return &kernelLog{fd: -1}
	}
	return &kernelLog{fd: fd}
}

// maxLogged bounds the memory for kills that nobody asks for.
const maxLogged = 256

// killed returns the last n kills in a group, unknown ones for those that the
// log does not have.
func (l *kernelLog) killed(group string, n uint64) []OOMKill {
	n = min(n, maxKills)
	out := l.logged(group, n)
	for uint64(len(out)) < n {
		out = append(out, OOMKill{})
	}
	return out
}

// logged returns at most n kills in a group that the log has. The group's name
// may lack the part of the path that a cgroup namespace hides.
func (l *kernelLog) logged(group string, n uint64) []OOMKill {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collect()
	var out []OOMKill
	rest := l.kills[:0]
	for _, k := range l.kills {
		if uint64(len(out)) < n && within(k.group, group) {
			out = append(out, k.OOMKill)
		} else {
			rest = append(rest, k)
		}
	}
	l.kills = rest
	return out
}

func within(path, group string) bool {
	return strings.HasSuffix(path, group) || strings.Contains(path, group+"/")
}

// collect reads what is new. A record is one read, "priority,number,time,…;text".
func (l *kernelLog) collect() {
	var buf [8192]byte
	for l.fd >= 0 {
		n, err := unix.Read(l.fd, buf[:])
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR), errors.Is(err, unix.EINVAL):
			continue // overwritten before we came; interrupted; longer than our buffer
		case err != nil || n <= 0:
			return
		}
		_, text, _ := bytes.Cut(buf[:n], []byte{';'})
		if k, ok := parseKill(text); ok {
			if len(l.kills) == maxLogged {
				l.kills = append(l.kills[:0], l.kills[1:]...)
			}
			l.kills = append(l.kills, k)
		}
	}
}

// parseKill reads the kernel's summary of a kill:
//
//	oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=tail,pid=123,uid=0
//
// The process chose its name, so the number is looked for from the end.
func parseKill(line []byte) (k loggedKill, ok bool) {
	line, _, _ = bytes.Cut(line, []byte{'\n'})
	rest, isKill := bytes.CutPrefix(line, []byte("oom-kill:"))
	at := bytes.LastIndex(rest, []byte(",pid="))
	if !isKill || at < 0 {
		return k, false
	}
	pid, _, _ := bytes.Cut(rest[at+len(",pid="):], []byte{','})
	n, err := strconv.Atoi(string(pid))
	if err != nil || n <= 0 {
		return k, false
	}
	_, who, found := bytes.Cut(rest[:at], []byte(",task_memcg="))
	group, name, hasName := bytes.Cut(who, []byte(",task="))
	if !found || !hasName {
		return k, false
	}
	return loggedKill{string(group), OOMKill{Pid: n, Process: string(name)}}, true
}

func (l *kernelLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
}
