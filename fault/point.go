//go:build faultpoints

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Error is what a point set to "error" returns.
type Error struct{ Point string }

func (e *Error) Error() string { return "fault point " + e.Point }

// passed counts how often points with the action panic were passed, by name.
var passed sync.Map

// Point does what BERTH_FAULT says about name; nil if it says nothing.
func Point(name string) error {
	for entry := range strings.SplitSeq(os.Getenv("BERTH_FAULT"), ",") {
		point, action, _ := strings.Cut(strings.TrimSpace(entry), "=")
		if point != name {
			continue
		}
		action, arg, _ := strings.Cut(action, ":")
		switch action {
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "error":
			return &Error{Point: name}
		case "panic":
			n, err := strconv.Atoi(arg)
			if err != nil {
				panic("BERTH_FAULT: " + entry + ": " + err.Error())
			}
			passes, _ := passed.LoadOrStore(name, new(atomic.Int64))
			if passes.(*atomic.Int64).Add(1) == int64(n) {
				panic("fault point " + name)
			}
		case "sleep":
			d, err := time.ParseDuration(arg)
			if err != nil {
				panic("BERTH_FAULT: " + entry + ": " + err.Error())
			}
			time.Sleep(d)
		default:
			panic("BERTH_FAULT: unknown action in " + entry)
		}
	}
	return nil
}
