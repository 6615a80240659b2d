package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// Bytes is an amount of memory. It is written as a number with an optional
// binary unit, such as 64M, both as a flag and in the file.
type Bytes int64

// String is the amount with its unit.
func (b *Bytes) String() string { return units.BytesSize(float64(*b)) }

// Type names the value in the usage text.
func (b *Bytes) Type() string { return "bytes" }

// Set parses an amount.
func (b *Bytes) Set(s string) error {
	n, err := units.RAMInBytes(s)
	if err != nil {
		return err
	}
	*b = Bytes(n)
	return nil
}

// UnmarshalJSON takes a string, or a number of bytes.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err == nil {
		return b.Set(s)
	}
	return json.Unmarshal(data, (*int64)(b))
}

// Duration is a time, written as Go writes it, such as 10s or 72h, or with days: 30d.
type Duration time.Duration

// String is the time as Go writes it.
func (d *Duration) String() string { return time.Duration(*d).String() }

// Type names the value in the usage text.
func (d *Duration) Type() string { return "duration" }

// UnmarshalJSON takes a string.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("a time is written as \"10s\", \"72h\" or \"30d\": %w", err)
	}
	return d.Set(s)
}

// Set parses a time.
func (d *Duration) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			*d = Duration(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("a time is written as \"10s\", \"72h\" or \"30d\", not %q", s)
	}
	*d = Duration(v)
	return nil
}

// tristate is a flag whose absence means something.
type tristate struct{ p **bool }

func (t tristate) String() string {
	if t.p == nil || *t.p == nil {
		return "false"
	}
	return strconv.FormatBool(**t.p)
}
func (t tristate) Type() string     { return "bool" }
func (t tristate) IsBoolFlag() bool { return true }
func (t tristate) Set(s string) error {
	v, err := strconv.ParseBool(s)
	*t.p = &v
	return err
}

// pairs is a repeated key=value flag.
type pairs map[string]string

func (p pairs) String() string { return "" }
func (p pairs) Type() string   { return "key=value" }
func (p pairs) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fmt.Errorf("must be key=value")
	}
	p[k] = v
	return nil
}

// ulimits is a repeated name=soft[:hard] flag.
type ulimits map[string]*container.Ulimit

func (u ulimits) String() string { return "" }
func (u ulimits) Type() string   { return "ulimit" }
func (u ulimits) Set(s string) error {
	l, err := units.ParseUlimit(s)
	if err != nil {
		return err
	}
	u[l.Name] = l
	return nil
}

// runtimes is a repeated name=path flag.
type runtimes map[string]Runtime

func (r runtimes) String() string { return "" }
func (r runtimes) Type() string   { return "name=path" }
func (r runtimes) Set(s string) error {
	name, path, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("must be name=path")
	}
	if _, twice := r[name]; twice {
		return fmt.Errorf("runtime %s is given twice", name)
	}
	r[name] = Runtime{Path: path}
	return nil
}
