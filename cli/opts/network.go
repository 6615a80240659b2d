package opts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Attachment is one --network value, from either of its two forms.
type Attachment struct {
	Target       string // name, ID, or a mode such as "host" and "container:x"
	Aliases      []string
	Links        []string
	DriverOpts   map[string]string
	IPv4, IPv6   string
	LinkLocalIPs []string
	MAC          string
	GwPriority   int
}

// Networks collects --network flags.
type Networks struct{ Values []Attachment }

var longNetwork = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\w+=\w+(,\w+=\w+)*`)
})

// Set parses a bare name, or name=…,alias=…,ip=….
func (n *Networks) Set(s string) error {
	a := Attachment{Target: s}
	if strings.Contains(s, "=") && longNetwork().MatchString(s) {
		var err error
		if a, err = parseAttachment(s); err != nil {
			return err
		}
	}
	n.Values = append(n.Values, a)
	return nil
}

// String is empty: the default is the daemon's.
func (*Networks) String() string { return "" }

// Type names the value in help texts.
func (*Networks) Type() string { return "network" }

// Mode is the network the container joins first.
func (n *Networks) Mode() string {
	if len(n.Values) == 0 {
		return "default"
	}
	return n.Values[0].Target
}

func parseAttachment(s string) (Attachment, error) {
	var a Attachment
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return a, err
	}
	for _, field := range fields {
		key, val, ok := strings.Cut(strings.ToLower(field), "=")
		if !ok || key == "" {
			return a, fmt.Errorf("invalid field %s", field)
		}
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		switch key {
		case "name":
			a.Target = val
		case "alias":
			a.Aliases = append(a.Aliases, val)
		case "ip":
			a.IPv4 = val
		case "ip6":
			a.IPv6 = val
		case "mac-address":
			a.MAC = val
		case "link-local-ip":
			a.LinkLocalIPs = append(a.LinkLocalIPs, val)
		case "driver-opt":
			k, v, ok := strings.Cut(val, "=")
			if !ok || k == "" {
				return a, errors.New("invalid key value pair format in driver options")
			}
			if a.DriverOpts == nil {
				a.DriverOpts = map[string]string{}
			}
			a.DriverOpts[strings.TrimSpace(k)] = strings.TrimSpace(v)
		case "gw-priority":
			if a.GwPriority, err = strconv.Atoi(val); err != nil {
				return a, fmt.Errorf("invalid gw-priority (%s): %w", val, errors.Unwrap(err))
			}
		default:
			return a, errors.New("invalid field key " + key)
		}
	}
	if a.Target == "" {
		return a, errors.New("network name/id is not specified")
	}
	return a, nil
}
