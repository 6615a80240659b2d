package stage

import (
	"maps"
	"slices"
)

// KnownNamespaces lists the types of namespaces that a Spec may name, sorted.
func KnownNamespaces() []string {
	var names []string
	for n := range cloneFlags {
		names = append(names, string(n))
	}
	slices.Sort(names)
	return names
}

// KnownMountOptions lists the words of Mount.Options that are not for the file
// system, sorted.
func KnownMountOptions() []string {
	names := slices.Concat(slices.Collect(maps.Keys(attributes)), slices.Collect(maps.Keys(propagations)))
	for _, n := range slices.Clone(names) {
		names = append(names, "r"+n)
	}
	names = append(names, "bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap",
		"defaults", "loud", "silent", "iversion", "noiversion", // see noOptions
		"sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand") // every file system knows these
	slices.Sort(names)
	return names
}

// KnownMemoryPolicies lists the modes and flags of Linux.MemoryPolicy.
func KnownMemoryPolicies() (modes, flags []string) {
	for _, w := range memoryModes {
		modes = append(modes, w.text)
	}
	for _, w := range memoryFlags {
		flags = append(flags, w.text)
	}
	return modes, flags
}
