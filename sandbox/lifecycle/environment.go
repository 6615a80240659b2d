package lifecycle

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// maxPasswd bounds what is read of a stranger's file.
const maxPasswd = 1 << 20

// environment is what a process gets of env: each variable once, the last one
// counts, and HOME, if that is missing or empty, as the user's entry in the
// container's /etc/passwd says, or "/".
func environment(env []string, root *os.File, uid uint32) []string {
	out := make([]string, 0, len(env)+1)
	seen, home := map[string]bool{}, false
	for _, e := range slices.Backward(env) {
		name, _, _ := strings.Cut(e, "=")
		if !seen[name] && e != "HOME=" {
			out = append(out, e)
		}
		home = home || name == "HOME" && !seen[name] && e != "HOME="
		seen[name] = true
	}
	slices.Reverse(out)
	if home {
		return out
	}
	text, err := mount.ReadFileInRoot(root, "/etc/passwd", maxPasswd)
	if err != nil {
		return append(out, "HOME=/") // there need not be one
	}
	return append(out, "HOME="+homeOf(text, uid))
}

func homeOf(passwd []byte, uid uint32) string {
	for line := range bytes.Lines(passwd) {
		fields := strings.Split(strings.TrimRight(string(line), "\n"), ":")
		if len(fields) < 6 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 32); err == nil && uint32(n) == uid && fields[5] != "" && strings.IndexByte(fields[5], 0) < 0 {
			return fields[5]
		}
	}
	return "/"
}

// inside opens the root directory that process 1 sees; for a container that is
// in the host's mount namespace, that which it was given.
func (c *Container) inside() (*os.File, error) {
	if c.Mount != nil {
		return mount.Find(*c.Mount)
	}
	return os.OpenFile("/proc/"+strconv.Itoa(c.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
}
