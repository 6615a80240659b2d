package driver

import (
	"compress/flate"
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/Graylog2/go-gelf/gelf"
)

// gelfTarget reads gelf-address, which must be given: udp:// or tcp://.
func gelfTarget(options map[string]string) (network, address string, err error) {
	text := options["gelf-address"]
	if text == "" {
		return "", "", bad("gelf-address is a required parameter")
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", "", bad("gelf-address: %v", err)
	}
	if u.Scheme != "udp" && u.Scheme != "tcp" {
		return "", "", bad("gelf: endpoint needs to be TCP or UDP")
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", "", bad("gelf: please provide gelf-address as proto://host:port")
	}
	return u.Scheme, u.Host, nil
}

// gelfCompression is what applies to UDP only.
func gelfCompression(options map[string]string) (gelf.CompressType, int, error) {
	var kind gelf.CompressType
	switch options["gelf-compression-type"] {
	case "", "gzip":
		kind = gelf.CompressGzip
	case "zlib":
		kind = gelf.CompressZlib
	case "none":
		kind = gelf.CompressNone
	default:
		return 0, 0, bad("gelf: invalid compression type %q", options["gelf-compression-type"])
	}
	level := flate.BestSpeed
	if v := options["gelf-compression-level"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < flate.DefaultCompression || n > flate.BestCompression {
			return 0, 0, bad("unknown value %q for log opt 'gelf-compression-level' for gelf log driver", v)
		}
		level = n
	}
	return kind, level, nil
}

func checkGELF(options map[string]string) error {
	network, _, err := gelfTarget(options)
	if err != nil {
		return err
	}
	if _, _, err := gelfCompression(options); err != nil {
		return err
	}
	for _, name := range []string{"gelf-compression-type", "gelf-compression-level"} {
		if network == "tcp" && options[name] != "" {
			return bad("compression is only supported on UDP")
		}
	}
	for _, name := range []string{"gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"} {
		if network == "udp" && options[name] != "" {
			return bad("%s is only valid for TCP", name)
		}
		if _, err := number(options, name, 0); err != nil {
			return err
		}
	}
	return nil
}

type gelfDriver struct {
	w     gelf.Writer
	host  string
	extra json.RawMessage
}

func openGELF(i *Info) (Driver, error) {
	network, address, err := gelfTarget(i.Options)
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
	extra := map[string]any{
		"_container_id": i.ID, "_container_name": i.Name, "_image_id": i.ImageID, "_image_name": i.ImageName,
		"_command": i.Command, "_tag": tag, "_created": i.Created,
	}
	for k, v := range attrs {
		extra["_"+k] = v
	}
	raw, err := json.Marshal(extra)
	if err != nil {
		return nil, err
	}
	w, err := dialGELF(network, address, i.Options)
	if err != nil {
		return nil, err
	}
	return &gelfDriver{w, i.Hostname, raw}, nil
}

func dialGELF(network, address string, options map[string]string) (gelf.Writer, error) {
	if network == "udp" {
		w, err := gelf.NewUDPWriter(address)
		if err != nil {
			return nil, err
		}
		w.CompressionType, w.CompressionLevel, err = gelfCompression(options)
		return w, err
	}
	w, err := gelf.NewTCPWriter(address)
	if err != nil {
		return nil, err
	}
	if w.MaxReconnect, err = number(options, "gelf-tcp-max-reconnect", w.MaxReconnect); err != nil {
		return nil, err
	}
	seconds, err := number(options, "gelf-tcp-reconnect-delay", int(w.ReconnectDelay))
	w.ReconnectDelay = time.Duration(seconds) // the library counts in seconds
	return w, err
}

func (d *gelfDriver) Write(m *Message) error {
	if len(m.Text) == 0 {
		return nil // GELF demands a message
	}
	level := int32(gelf.LOG_INFO)
	if m.Stderr {
		level = gelf.LOG_ERR
	}
	return d.w.WriteMessage(&gelf.Message{
		Version: "1.1", Host: d.host, Short: string(m.Text), Level: level, RawExtra: d.extra,
		TimeUnix: float64(m.Time.UnixNano()/int64(time.Millisecond)) / 1000,
	})
}

func (d *gelfDriver) Close() error { return d.w.Close() }
