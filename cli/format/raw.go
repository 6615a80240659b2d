package format

import "strings"

// Raw is the format word for a line for each field, which Docker's command has
// for its first lists.
const Raw = "raw"

// ContainerRaw is what Raw stands for in lists of containers.
func ContainerRaw(size bool) string {
	lines := []string{
		"container_id: {{.ID}}", "image: {{.Image}}", "command: {{.Command}}", "created_at: {{.CreatedAt}}", "state:{{pad .State 1 0}}",
		"status:{{pad .Status 1 0}}", "names: {{.Names}}", "labels:{{pad .Labels 1 0}}", "ports:{{pad .Ports 1 0}}",
	}
	if size {
		lines = append(lines, "size: {{.Size}}")
	}
	return raw(false, 0, lines)
}

// ImageRaw is for images; with quiet there are IDs alone. The same goes for those
// of other things.
func ImageRaw(quiet, digests bool) string {
	lines := []string{"repository: {{.Repository}}", "tag: {{.Tag}}"}
	if digests {
		lines = append(lines, "digest: {{.Digest}}")
	}
	return raw(quiet, len(lines), append(lines, "image_id: {{.ID}}", "created_at: {{.CreatedAt}}", "virtual_size: {{.Size}}"))
}

// VolumeRaw is for volumes.
func VolumeRaw(quiet bool) string {
	return raw(quiet, 0, []string{"name: {{.Name}}", "driver: {{.Driver}}"})
}

// NetworkRaw is for networks.
func NetworkRaw(quiet bool) string {
	return raw(quiet, 0, []string{"network_id: {{.ID}}", "name: {{.Name}}", "driver: {{.Driver}}", "scope: {{.Scope}}"})
}

func raw(quiet bool, id int, lines []string) string {
	if quiet {
		return lines[id]
	}
	return strings.Join(lines, "\n") + "\n"
}
