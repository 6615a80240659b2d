package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/kernel/mount"
)

// ticks per second of the times in /proc/PID/stat: the same on all systems
// that Linux tells user space about.
const ticks = 100

// process is what /proc says of one.
type process struct {
	pid    int
	uid    uint32
	comm   string
	args   string
	status string   // state letter
	stat   []string // fields from the third on
}

// system is what columns need besides.
type system struct {
	boot   time.Time
	now    time.Time
	memory uint64 // bytes
}

func readSystem() (*system, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, err
	}
	sys := &system{now: time.Now()}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "btime "); ok {
			sec, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				return nil, err
			}
			sys.boot = time.Unix(sec, 0)
		}
	}
	mem, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	if f := strings.Fields(string(mem)); len(f) > 1 && f[0] == "MemTotal:" {
		kb, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return nil, err
		}
		sys.memory = kb << 10
	}
	return sys, nil
}

func readProcess(pid int) (*process, error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, err
	}
	// The name is in parentheses and may hold anything, parentheses too.
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from {
		return nil, errors.New("strange stat file")
	}
	p := &process{pid: pid, comm: string(b[from+1 : to]), stat: strings.Fields(string(b[to+1:]))}
	if len(p.stat) < 22 {
		return nil, errors.New("short stat file")
	}
	p.status = p.stat[0]
	if st, ok := mount.StatOf(info); ok {
		p.uid = st.UID
	}
	cmd, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return nil, err
	}
	p.args = printable(strings.TrimRight(strings.ReplaceAll(string(cmd), "\x00", " "), " "))
	if p.args == "" {
		p.args = "[" + printable(p.comm) + "]"
	}
	return p, nil
}

// printable hides control characters: the words are the container's.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// field is number n of proc(5)'s list, 3 being the state.
func (p *process) field(n int) int64 {
	v, err := strconv.ParseInt(p.stat[n-3], 10, 64)
	if err != nil {
		return 0
	}
	return v
}

func (p *process) started(sys *system) time.Time {
	return sys.boot.Add(time.Duration(p.field(22)) * time.Second / ticks)
}

func (p *process) cpuTime() time.Duration {
	return time.Duration(p.field(14)+p.field(15)) * time.Second / ticks
}

func (p *process) cpuShare(sys *system) float64 {
	lived := sys.now.Sub(p.started(sys))
	if lived <= 0 {
		return 0
	}
	return 100 * float64(p.cpuTime()) / float64(lived)
}

func (p *process) user() string {
	id := strconv.FormatUint(uint64(p.uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func (p *process) tty() string {
	nr := uint64(p.field(7))
	major, minor := nr>>8&0xfff, nr&0xff|nr>>12&0xfff00
	switch {
	case nr == 0:
		return "?"
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)<<8+minor)
	case major == 4:
		return fmt.Sprintf("tty%d", minor)
	}
	return "?"
}

func (p *process) since(sys *system) string {
	t := p.started(sys)
	if sys.now.Sub(t) < 24*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("Jan02")
}

func clockTime(d time.Duration) string {
	s := int64(d.Seconds())
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

func number64(n int64) string { return strconv.FormatInt(n, 10) }

// psFields are the columns of ps that are known here.
var psFields = map[string]column{
	"uid":     {"UID", func(p *process, _ *system) string { return p.user() }},
	"user":    {"USER", func(p *process, _ *system) string { return p.user() }},
	"euser":   {"EUSER", func(p *process, _ *system) string { return p.user() }},
	"pid":     {"PID", func(p *process, _ *system) string { return strconv.Itoa(p.pid) }},
	"ppid":    {"PPID", func(p *process, _ *system) string { return number64(p.field(4)) }},
	"pgid":    {"PGID", func(p *process, _ *system) string { return number64(p.field(5)) }},
	"sid":     {"SID", func(p *process, _ *system) string { return number64(p.field(6)) }},
	"nlwp":    {"NLWP", func(p *process, _ *system) string { return number64(p.field(20)) }},
	"ni":      {"NI", func(p *process, _ *system) string { return number64(p.field(19)) }},
	"nice":    {"NI", func(p *process, _ *system) string { return number64(p.field(19)) }},
	"pri":     {"PRI", func(p *process, _ *system) string { return number64(p.field(18)) }},
	"c":       {"C", func(p *process, s *system) string { return number64(int64(p.cpuShare(s))) }},
	"%cpu":    {"%CPU", func(p *process, s *system) string { return fmt.Sprintf("%.1f", p.cpuShare(s)) }},
	"pcpu":    {"%CPU", func(p *process, s *system) string { return fmt.Sprintf("%.1f", p.cpuShare(s)) }},
	"%mem":    {"%MEM", memShare},
	"pmem":    {"%MEM", memShare},
	"vsz":     {"VSZ", func(p *process, _ *system) string { return number64(p.field(23) >> 10) }},
	"rss":     {"RSS", func(p *process, _ *system) string { return number64(p.rss() >> 10) }},
	"stime":   {"STIME", func(p *process, s *system) string { return p.since(s) }},
	"start":   {"START", func(p *process, s *system) string { return p.since(s) }},
	"tty":     {"TTY", func(p *process, _ *system) string { return p.tty() }},
	"tt":      {"TT", func(p *process, _ *system) string { return p.tty() }},
	"time":    {"TIME", func(p *process, _ *system) string { return clockTime(p.cpuTime()) }},
	"etime":   {"ELAPSED", func(p *process, s *system) string { return clockTime(s.now.Sub(p.started(s))) }},
	"stat":    {"STAT", func(p *process, _ *system) string { return p.status }},
	"s":       {"S", func(p *process, _ *system) string { return p.status }},
	"state":   {"S", func(p *process, _ *system) string { return p.status }},
	"comm":    {"COMMAND", func(p *process, _ *system) string { return printable(p.comm) }},
	"cmd":     {"CMD", func(p *process, _ *system) string { return p.args }},
	"args":    {"COMMAND", func(p *process, _ *system) string { return p.args }},
	"command": {"COMMAND", func(p *process, _ *system) string { return p.args }},
}

func (p *process) rss() int64 { return p.field(24) * int64(os.Getpagesize()) }

func memShare(p *process, s *system) string {
	if s.memory == 0 {
		return "0.0"
	}
	return fmt.Sprintf("%.1f", 100*float64(p.rss())/float64(s.memory))
}
