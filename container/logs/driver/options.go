package driver

import (
	"strconv"
	"time"

	"github.com/docker/go-units"
)

// checkMode checks how the engine is to deliver.
func checkMode(options map[string]string) error {
	switch mode := options["mode"]; mode {
	case "", "blocking":
		if options["max-buffer-size"] != "" {
			return bad("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
		}
	case "non-blocking":
		if v := options["max-buffer-size"]; v != "" {
			if n, err := units.RAMInBytes(v); err != nil || n <= 0 {
				return bad("error parsing option max-buffer-size: invalid size: '%s'", v)
			}
		}
	default:
		return bad("logger: logging mode not supported: %s", mode)
	}
	if _, err := flag(options, "cache-disabled"); err != nil {
		return err
	}
	if _, err := flag(options, "cache-compress"); err != nil {
		return err
	}
	return nil
}

func flag(options map[string]string, name string) (bool, error) {
	v := options[name]
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, bad("invalid value for log opt '%s': %q is neither true nor false", name, v)
	}
	return b, nil
}

func number(options map[string]string, name string, otherwise int) (int, error) {
	v := options[name]
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, bad("invalid value for log opt '%s': %q is not a number", name, v)
	}
	return n, nil
}

func duration(options map[string]string, name string, otherwise time.Duration) (time.Duration, error) {
	v := options[name]
	if v == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, bad("invalid value for log opt '%s': %q is not a duration", name, v)
	}
	return d, nil
}
