package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// maxFile bounds the configuration file, in bytes.
const maxFile = 1 << 20

// Load reads the flags in args (without the program's name) and the
// configuration file they name, and validates the result. With Help, Version or
// Validate set in the result, there is nothing to start.
//
// Calling it again with the same args re-reads the file.
func Load(args []string) (*Config, error) {
	c := defaults()
	fs := newFlags(c)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return &Config{Help: usage(fs)}, nil
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("berthd accepts no arguments: %q", fs.Args())
	}
	if c.Version {
		return c, nil
	}
	if err := c.readFile(fs); err != nil {
		return nil, fmt.Errorf("unable to configure the Berth daemon with file %s: %w", c.File, err)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// readFile adds the file's settings. A missing file is an error only if it was
// asked for.
func (c *Config) readFile(flags *pflag.FlagSet) error {
	f, err := os.Open(c.File)
	if errors.Is(err, fs.ErrNotExist) && !flags.Changed("config-file") {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	return c.merge(data, flags)
}

// merge adds the settings of a file's content.
func (c *Config) merge(data []byte, flags *pflag.FlagSet) error {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(data) == 0 {
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("invalid JSON: %w", err)
	}
	// Keys are compared exactly, before encoding/json could fold their case.
	known := keys()
	var unknown []string
	for k, v := range raw {
		if known[k] {
			continue
		}
		r := refusedKey(k)
		if r == nil {
			unknown = append(unknown, k)
		} else if err := r.check(string(v)); err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("the following directives don't match any configuration option: %s", strings.Join(unknown, ", "))
	}
	var conflicts []string
	flags.Visit(func(f *pflag.Flag) {
		if v, both := raw[keyOf(f.Name)]; both {
			conflicts = append(conflicts, fmt.Sprintf("%s: (from flag: %v, from file: %s)", keyOf(f.Name), shown(f.Value), compact(v)))
		}
	})
	if len(conflicts) > 0 {
		return fmt.Errorf("the following directives are specified both as a flag and in the configuration file: %s", strings.Join(conflicts, ", "))
	}
	if err := json.Unmarshal(data, c); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("directive %s: a JSON %s does not fit, want %s", t.Field, t.Value, t.Type)
		}
		return err
	}
	return nil
}

func shown(v pflag.Value) string {
	if s, ok := v.(pflag.SliceValue); ok {
		return "[" + strings.Join(s.GetSlice(), " ") + "]"
	}
	return v.String()
}

func compact(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

// keys is the set of the file's keys.
func keys() map[string]bool {
	set := map[string]bool{}
	for f := range reflect.TypeFor[Config]().Fields() {
		if k := f.Tag.Get("json"); k != "-" {
			set[k] = true
		}
	}
	return set
}

// Changed lists the keys whose values differ.
func Changed(a, b *Config) []string {
	var changed []string
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		key := x.Type().Field(i).Tag.Get("json")
		if key != "-" && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			changed = append(changed, key)
		}
	}
	return changed
}
