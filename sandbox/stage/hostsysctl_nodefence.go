//go:build nodefence_hostsysctl

package stage

func allowSysctls(map[string]string, namespaces, bool) error { return nil }
