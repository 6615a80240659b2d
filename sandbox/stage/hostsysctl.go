//go:build !nodefence_hostsysctl

package stage

// allowSysctls lets through only what belongs to a namespace of the container.
func allowSysctls(sysctls map[string]string, plan namespaces, netnsGiven bool) error {
	return validateSysctls(sysctls, plan, netnsGiven)
}
