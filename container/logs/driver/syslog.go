package driver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	syslog "github.com/RackSec/srslog"
)

var facilities = map[string]syslog.Priority{
	"kern": syslog.LOG_KERN, "user": syslog.LOG_USER, "mail": syslog.LOG_MAIL, "daemon": syslog.LOG_DAEMON,
	"auth": syslog.LOG_AUTH, "syslog": syslog.LOG_SYSLOG, "lpr": syslog.LOG_LPR, "news": syslog.LOG_NEWS,
	"uucp": syslog.LOG_UUCP, "cron": syslog.LOG_CRON, "authpriv": syslog.LOG_AUTHPRIV, "ftp": syslog.LOG_FTP,
	"local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2, "local3": syslog.LOG_LOCAL3,
	"local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}

const secureProto = "tcp+tls"

// syslogTarget reads syslog-address: a URL, or empty for the host's own.
func syslogTarget(options map[string]string) (network, address string, err error) {
	text := options["syslog-address"]
	if text == "" {
		return "", "", nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", "", bad("unable to parse syslog-address: %v", err)
	}
	switch u.Scheme {
	case "unix", "unixgram":
		if _, err := os.Stat(u.Path); err != nil {
			return "", "", bad("syslog-address: %v", err)
		}
		return u.Scheme, u.Path, nil
	case "udp", "tcp", secureProto:
		host := u.Host
		if _, _, err := net.SplitHostPort(host); err != nil {
			if !strings.Contains(err.Error(), "missing port in address") {
				return "", "", bad("syslog-address: %v", err)
			}
			host = net.JoinHostPort(host, "514")
		}
		return u.Scheme, host, nil
	}
	return "", "", bad("unsupported scheme: '%s'", u.Scheme)
}

func syslogFacility(options map[string]string) (syslog.Priority, error) {
	name := options["syslog-facility"]
	if name == "" {
		return syslog.LOG_DAEMON, nil
	}
	if f, ok := facilities[name]; ok {
		return f, nil
	}
	n, err := strconv.Atoi(name)
	if err == nil && n >= 0 && n <= 23 {
		return syslog.Priority(n << 3), nil
	}
	return 0, bad("invalid syslog facility: %s", name)
}

// rfc5424 is the form of RFC 5424, section 6, with a time of the given layout.
func rfc5424(layout string) syslog.Formatter {
	return func(p syslog.Priority, hostname, tag, content string) string {
		return "<" + strconv.Itoa(int(p)) + ">1 " + time.Now().Format(layout) + " " + hostname + " " + tag + " " +
			strconv.Itoa(os.Getpid()) + " " + tag + " - " + content
	}
}

func syslogForm(options map[string]string, network string) (syslog.Formatter, syslog.Framer, error) {
	framer := syslog.Framer(syslog.DefaultFramer)
	if network == secureProto {
		framer = syslog.RFC5425MessageLengthFramer
	}
	switch name := options["syslog-format"]; name {
	case "":
		return syslog.UnixFormatter, syslog.DefaultFramer, nil
	case "rfc3164":
		return syslog.RFC3164Formatter, syslog.DefaultFramer, nil
	case "rfc5424":
		return rfc5424(time.RFC3339), framer, nil
	case "rfc5424micro":
		return rfc5424("2006-01-02T15:04:05.000000Z07:00"), framer, nil
	default:
		return nil, nil, bad("invalid syslog format: %s", name)
	}
}

func syslogTLS(options map[string]string) (*tls.Config, error) {
	_, skip := options["syslog-tls-skip-verify"]
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skip}
	if ca := options["syslog-tls-ca-cert"]; ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, bad("syslog-tls-ca-cert: %v", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, bad("syslog-tls-ca-cert: no certificate in %s", ca)
		}
	}
	if cert, key := options["syslog-tls-cert"], options["syslog-tls-key"]; cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, bad("syslog-tls-cert: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func checkSyslog(options map[string]string) error {
	network, _, err := syslogTarget(options)
	if err != nil {
		return err
	}
	if _, err := syslogFacility(options); err != nil {
		return err
	}
	if _, _, err := syslogForm(options, network); err != nil {
		return err
	}
	if network == secureProto {
		_, err = syslogTLS(options)
	}
	return err
}

type syslogDriver struct{ w *syslog.Writer }

func openSyslog(i *Info) (Driver, error) {
	network, address, err := syslogTarget(i.Options)
	if err != nil {
		return nil, err
	}
	facility, err := syslogFacility(i.Options)
	if err != nil {
		return nil, err
	}
	form, frame, err := syslogForm(i.Options, network)
	if err != nil {
		return nil, err
	}
	tag, err := Tag(i, "{{.ID}}")
	if err != nil {
		return nil, err
	}
	tag = "berth/" + tag
	var w *syslog.Writer
	if network == secureProto {
		c, terr := syslogTLS(i.Options)
		if terr != nil {
			return nil, terr
		}
		w, err = syslog.DialWithTLSConfig(network, address, facility, tag, c)
	} else {
		w, err = syslog.Dial(network, address, facility, tag)
	}
	if err != nil {
		return nil, err
	}
	w.SetFormatter(form)
	w.SetFramer(frame)
	return &syslogDriver{w}, nil
}

func (d *syslogDriver) Write(m *Message) error {
	if len(m.Text) == 0 {
		return nil // as Docker: syslog has no empty messages
	}
	if m.Stderr {
		return d.w.Err(string(m.Text))
	}
	return d.w.Info(string(m.Text))
}

func (d *syslogDriver) Close() error {
	if err := d.w.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
