package socket

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Bound is a socket that has a port of the host.
type Bound struct {
	Addr  netip.AddrPort
	Inode uint64
}

// listening is TCP_LISTEN as /proc/net/tcp writes it.
const listening = "0A"

// AllBound lists the sockets that keep others from binding a port: all of udp,
// and those of tcp that listen, of both address families, in the network
// namespace of the calling thread (proc_pid_net(5)).
func AllBound(proto string) ([]Bound, error) { return boundIn("/proc/thread-self/net/", proto) }

// BoundBy is AllBound for the network namespace of a process.
func BoundBy(pid int, proto string) ([]Bound, error) {
	return boundIn(fmt.Sprintf("/proc/%d/net/", pid), proto)
}

func boundIn(dir, proto string) ([]Bound, error) {
	var out []Bound
	for _, name := range []string{proto, proto + "6"} {
		data, err := os.ReadFile(dir + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a host without IPv6
		}
		if err != nil {
			return nil, err
		}
		out = append(out, parseBound(string(data), proto == "tcp")...)
	}
	return out, nil
}

func parseBound(text string, tcp bool) []Bound {
	var out []Bound
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		f := strings.Fields(scanner.Text())
		if len(f) < 10 || tcp && f[3] != listening {
			continue
		}
		addr, ok := parseHex(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if ok && err == nil {
			out = append(out, Bound{addr, inode})
		}
	}
	return out
}

// parseHex reads "0100007F:1F90": words of four bytes in the host's order.
func parseHex(s string) (netip.AddrPort, bool) {
	left, right, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(left)
	port, err2 := strconv.ParseUint(right, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 { // every machine that we run on is little-endian
		slices.Reverse(raw[i : i+4])
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a, uint16(port)), ok
}

// Holder names the process that has a socket, as "process 123 (nginx)"; "" if
// /proc does not tell.
func Holder(inode uint64) string {
	want := fmt.Sprintf("socket:[%d]", inode)
	dirs, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil || inode == 0 {
		return ""
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended, or is not ours to look at
		}
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(dir, e.Name())); err != nil || to != want {
				continue
			}
			process := filepath.Dir(dir)
			name, _ := os.ReadFile(filepath.Join(process, "comm")) // without it, the number must do
			return fmt.Sprintf("process %s (%s)", filepath.Base(process), strings.TrimSpace(string(name)))
		}
	}
	return ""
}

// InTheWay returns the holder of a socket that keeps others from binding addr,
// as Holder does.
func InTheWay(proto string, addr netip.AddrPort) string {
	all, err := AllBound(proto)
	if err != nil {
		return ""
	}
	for _, b := range all {
		if b.Addr.Port() == addr.Port() && Overlap(b.Addr.Addr(), addr.Addr()) {
			if who := Holder(b.Inode); who != "" {
				return who
			}
		}
	}
	return ""
}

// Overlap tells whether sockets bound to the two addresses are in each other's
// way. A socket of [::] is taken to have IPv4 as well, as most have.
func Overlap(a, b netip.Addr) bool {
	switch {
	case a == b:
		return true
	case a.Is4() == b.Is4():
		return a.IsUnspecified() || b.IsUnspecified()
	case a.Is4():
		return b == netip.IPv6Unspecified()
	}
	return a == netip.IPv6Unspecified()
}
