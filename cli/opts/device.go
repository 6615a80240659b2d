package opts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
)

// ParseDevice parses host-path[:container-path][:mode].
func ParseDevice(s string) (container.DeviceMapping, error) {
	d := container.DeviceMapping{CgroupPermissions: "rwm"}
	parts := strings.Split(s, ":")
	if parts[0] == "" || len(parts) > 3 {
		return d, fmt.Errorf("bad format for path: %s", s)
	}
	d.PathOnHost, d.PathInContainer = parts[0], parts[0]
	switch len(parts) {
	case 2:
		if validDeviceMode(parts[1]) {
			d.CgroupPermissions = parts[1]
		} else {
			d.PathInContainer = parts[1]
		}
	case 3:
		if !validDeviceMode(parts[2]) {
			return d, fmt.Errorf("bad mode specified: %s", parts[2])
		}
		d.PathInContainer, d.CgroupPermissions = parts[1], parts[2]
	}
	if !path.IsAbs(d.PathInContainer) {
		return d, fmt.Errorf("%s is not an absolute path", d.PathInContainer)
	}
	d.PathInContainer = path.Clean(d.PathInContainer)
	if len(parts) == 1 {
		d.PathOnHost = d.PathInContainer
	}
	return d, nil
}

// validDeviceMode accepts r, w and m, each at most once.
func validDeviceMode(s string) bool {
	if s == "" {
		return false
	}
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(s[:i], c) {
			return false
		}
	}
	return true
}

// IsCDIName tells vendor.com/class=name from a path.
func IsCDIName(s string) bool {
	kind, name, ok := strings.Cut(s, "=")
	vendor, class, ok2 := strings.Cut(kind, "/")
	return ok && ok2 && vendor != "" && class != "" && name != "" && !strings.Contains(class, "/")
}

var cgroupRule = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$`)
})

// CheckDeviceRule accepts "type major:minor mode".
func CheckDeviceRule(s string) (string, error) {
	if !cgroupRule().MatchString(s) {
		return s, fmt.Errorf("invalid device cgroup format '%s'", s)
	}
	return s, nil
}

// GPUs collects --gpus flags.
type GPUs struct{ Values []container.DeviceRequest }

// Set parses "all", a count, or driver=…,count=…,device=…,capabilities=….
func (g *GPUs) Set(s string) error {
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return err
	}
	r := container.DeviceRequest{Options: map[string]string{}, Capabilities: [][]string{{"gpu"}}}
	seen := map[string]bool{}
	for _, field := range fields {
		key, val, ok := strings.Cut(field, "=")
		if !ok {
			key, val = "count", field
		}
		if seen[key] {
			return fmt.Errorf("gpu request key '%s' can be specified only once", key)
		}
		seen[key] = true
		switch key {
		case "driver":
			r.Driver = val
		case "count":
			if r.Count, err = gpuCount(val); err != nil {
				return err
			}
		case "device":
			r.DeviceIDs = strings.Split(val, ",")
		case "capabilities":
			r.Capabilities = [][]string{append(strings.Split(val, ","), "gpu")}
		case "options":
			o, err := csv.NewReader(strings.NewReader(val)).Read()
			if err != nil {
				return fmt.Errorf("failed to read gpu options: %w", err)
			}
			r.Options = PairsToMap(o)
		default:
			return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
		}
	}
	if !seen["count"] && r.DeviceIDs == nil {
		r.Count = 1
	}
	g.Values = append(g.Values, r)
	return nil
}

// String is empty for no request.
func (g *GPUs) String() string {
	var out []string
	for _, v := range g.Values {
		out = append(out, fmt.Sprint(v))
	}
	return strings.Join(out, ", ")
}

// Type names the value in help texts.
func (*GPUs) Type() string { return "gpu-request" }

func gpuCount(s string) (int, error) {
	if s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf(`invalid count (%s): value must be either "all" or an integer: %w`, s, errors.Unwrap(err))
	}
	return n, nil
}
