package driver

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// A Message is one line, or a piece of a long one.
type Message struct {
	Time   time.Time
	Stderr bool
	Text   []byte // without a newline; valid during the call
	Part   *Part  // nil: a whole line
}

// A Part tells which piece of a line a message is.
type Part struct {
	ID      string
	Ordinal int // from 1
	Last    bool
}

func (m *Message) source() string {
	if m.Stderr {
		return "stderr"
	}
	return "stdout"
}

// continues tells whether more of the line follows.
func (m *Message) continues() bool { return m.Part != nil && !m.Part.Last }

// Info is the container that logs, and its log options.
type Info struct {
	ID, Name           string // Name without a slash
	ImageID, ImageName string
	Command            string
	Created            time.Time
	Labels             map[string]string
	Env                []string
	Options            map[string]string
	Hostname           string // of the host
	Dir                string // for the driver's files
}

// A Driver takes lines in order, from one goroutine. After an error of Write
// the message may be written again.
type Driver interface {
	Write(m *Message) error
	Close() error
}

// kind is what there is to know of a driver by its name.
type kind struct {
	options []string
	check   func(options map[string]string) error // nil: nothing more to check
	open    func(i *Info) (Driver, error)         // nil: the engine's own log is all
}

var about = []string{"labels", "labels-regex", "env", "env-regex", "tag"}

// Names are the drivers that there are, in order.
func Names() []string { return slices.Sorted(maps.Keys(kinds)) }

// kinds are the drivers by name. All of them know the options of common.
var kinds = map[string]kind{
	"none":  {},
	"local": {options: append([]string{"max-size", "max-file", "compress"}, about...), check: checkLocal},
	"json-file": {
		options: append([]string{"max-size", "max-file", "compress"}, about...),
		check:   checkJSONFile,
		open:    func(i *Info) (Driver, error) { return OpenJSONFile(i, nil) },
	},
	"syslog": {
		options: append([]string{
			"syslog-address", "syslog-facility", "syslog-format",
			"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify",
		}, about...),
		check: checkSyslog, open: openSyslog,
	},
	"journald": {options: about, open: openJournald},
	"fluentd": {
		options: append([]string{
			"fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-async-reconnect-interval",
			"fluentd-buffer-limit", "fluentd-max-retries", "fluentd-request-ack", "fluentd-retry-wait",
			"fluentd-sub-second-precision", "fluentd-write-timeout",
		}, about...),
		check: checkFluentd, open: openFluentd,
	},
	"gelf": {
		options: append([]string{
			"gelf-address", "gelf-compression-type", "gelf-compression-level",
			"gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay",
		}, about...),
		check: checkGELF, open: openGELF,
	},
}

// common are options that the engine reads itself.
var common = []string{"mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"}

// Ships tells whether a driver wants the lines; those that do not live off the
// engine's own log.
func Ships(name string) bool { return kinds[name].open != nil }

// Check refuses an unknown driver and what is wrong with its options, in
// Docker's words; the errors are errdefs.InvalidArgument.
func Check(name string, options map[string]string) error {
	k, ok := kinds[name]
	if !ok {
		return bad("logger: no log driver named '%s' is registered", name)
	}
	if name == "none" {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains(k.options, key) && !slices.Contains(common, key) {
			return bad("unknown log opt '%s' for %s log driver", key, name)
		}
	}
	if err := checkMode(options); err != nil {
		return err
	}
	if _, err := newAttrs(&Info{Options: options}); err != nil {
		return err
	}
	if _, err := Tag(&Info{Options: options}, ""); err != nil {
		return err
	}
	if k.check == nil {
		return nil
	}
	return k.check(options)
}

// Open connects to whatever takes the lines of i.
func Open(name string, i *Info) (Driver, error) {
	k, ok := kinds[name]
	if !ok || k.open == nil {
		return nil, bad("logger: no log driver named '%s' takes lines", name)
	}
	return k.open(i)
}

func bad(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
