//go:build !nodefence_reaperenv

package stage

// reaperEnv is the environment of process 1 with --init. The container's is not
// in it: GODEBUG and the like would steer the reaper.
func reaperEnv([]string) []string { return []string{"GOMAXPROCS=1", "GOGC=off"} }
