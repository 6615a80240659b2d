package driver

import (
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/fluent/fluent-logger-golang/fluent"
)

// fluentdConfig reads the options. The defaults are Docker's, but for the
// retries: whoever writes tries again.
func fluentdConfig(options map[string]string) (c fluent.Config, err error) {
	c = fluent.Config{FluentNetwork: "tcp", FluentHost: "127.0.0.1", FluentPort: 24224}
	if err := fluentdAddress(options["fluentd-address"], &c); err != nil {
		return c, err
	}
	c.BufferLimit = 1 << 20
	if v := options["fluentd-buffer-limit"]; v != "" {
		n, err := units.RAMInBytes(v)
		if err != nil || n <= 0 {
			return c, bad("invalid value for log opt 'fluentd-buffer-limit': %q", v)
		}
		c.BufferLimit = int(n)
	}
	retry, err := duration(options, "fluentd-retry-wait", time.Second)
	if err != nil {
		return c, err
	}
	c.RetryWait = int(retry.Milliseconds())
	if c.MaxRetry, err = number(options, "fluentd-max-retries", 3); err != nil {
		return c, err
	}
	if c.WriteTimeout, err = duration(options, "fluentd-write-timeout", 0); err != nil {
		return c, err
	}
	again, err := duration(options, "fluentd-async-reconnect-interval", 0)
	if err != nil {
		return c, err
	}
	if again != 0 && (again < 100*time.Millisecond || again > 10*time.Second) {
		return c, bad("invalid value for log opt 'fluentd-async-reconnect-interval': %s is not between 100ms and 10s", again)
	}
	c.AsyncReconnectInterval = int(again.Milliseconds())
	for name, into := range map[string]*bool{
		"fluentd-async": &c.Async, "fluentd-async-connect": nil,
		"fluentd-sub-second-precision": &c.SubSecondPrecision, "fluentd-request-ack": &c.RequestAck,
	} {
		v, err := flag(options, name)
		if err != nil {
			return c, err
		}
		if into != nil {
			*into = v
		}
	}
	c.ForceStopAsyncSend = c.Async
	return c, nil
}

// fluentdAddress reads HOST[:PORT], tcp://, tls:// or unix:// addresses.
func fluentdAddress(text string, c *fluent.Config) error {
	if text == "" {
		return nil
	}
	if !strings.Contains(text, "://") {
		text = "tcp://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("error parsing fluentd-address: invalid address %s: %v", text, err)
	}
	switch u.Scheme {
	case "unix":
		if strings.TrimLeft(u.Path, "/") == "" {
			return bad("error parsing fluentd-address: invalid address %s: path is empty", text)
		}
		c.FluentNetwork, c.FluentSocketPath = "unix", u.Path
		return nil
	case "tcp", "tls":
	default:
		return bad("error parsing fluentd-address: unsupported scheme: '%s'", u.Scheme)
	}
	if u.Path != "" {
		return bad("error parsing fluentd-address: invalid address %s: should not contain a path element", text)
	}
	host, port := u.Host, ""
	if h, p, err := net.SplitHostPort(u.Host); err == nil {
		host, port = h, p
	}
	c.FluentNetwork = u.Scheme
	if host != "" {
		c.FluentHost = host
	}
	if port != "" {
		if c.FluentPort, err = strconv.Atoi(port); err != nil || c.FluentPort > 65535 {
			return bad("error parsing fluentd-address: invalid port in %s", text)
		}
	}
	return nil
}

func checkFluentd(options map[string]string) error {
	_, err := fluentdConfig(options)
	return err
}

type fluentd struct {
	f     *fluent.Fluent
	tag   string
	id    string
	name  string
	attrs map[string]string
}

func openFluentd(i *Info) (Driver, error) {
	c, err := fluentdConfig(i.Options)
	if err != nil {
		return nil, err
	}
	tag, err := Tag(i, "{{.ID}}")
	if err != nil {
		return nil, err
	}
	attrs, err := newAttrs(i)
	if err != nil {
		return nil, err
	}
	f, err := fluent.New(c)
	if err != nil {
		return nil, err
	}
	return &fluentd{f: f, tag: tag, id: i.ID, name: "/" + i.Name, attrs: attrs}, nil
}

func (d *fluentd) Write(m *Message) error {
	record := map[string]string{
		"container_id": d.id, "container_name": d.name, "source": m.source(), "log": string(m.Text),
	}
	maps.Copy(record, d.attrs)
	if p := m.Part; p != nil {
		record["partial_message"], record["partial_id"] = "true", p.ID
		record["partial_ordinal"], record["partial_last"] = strconv.Itoa(p.Ordinal), strconv.FormatBool(p.Last)
	}
	return d.f.PostWithTime(d.tag, m.Time, record)
}

func (d *fluentd) Close() error { return d.f.Close() }
