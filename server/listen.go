package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/config"
)

// Listen opens a listener for every address of the configuration. All are open,
// or none. inherited are the sockets that a service manager handed over; those
// that no fd:// address takes are closed.
func Listen(ctx context.Context, c *config.Config, inherited []Inherited) (_ []net.Listener, err error) {
	var out []net.Listener
	taken := map[int]bool{}
	defer func() {
		for i, in := range inherited {
			if !taken[i] {
				_ = in.Listener.Close()
			}
		}
		if err != nil {
			for _, l := range out {
				_ = l.Close()
			}
		}
	}()
	var secure *tls.Config
	if c.UseTLS() {
		if secure, err = tlsConfig(c); err != nil {
			return nil, err
		}
	}
	for _, text := range c.Hosts {
		h, err := config.ParseHost(text, c.UseTLS())
		if err != nil {
			return nil, err
		}
		switch h.Proto {
		case "unix":
			l, err := listenUnix(ctx, h.Addr, c.Group)
			if err != nil {
				return nil, fmt.Errorf("can't create unix socket %s: %w", h.Addr, err)
			}
			out = append(out, l)
		case "tcp":
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", h.Addr)
			if err != nil {
				return nil, err
			}
			if secure != nil {
				l = tls.NewListener(l, secure)
			}
			out = append(out, l)
		case "fd":
			found := 0
			for i, in := range inherited {
				if h.Addr == "" || h.Addr == in.Name || h.Addr == strconv.Itoa(in.FD) {
					l := in.Listener
					if _, ok := l.(*net.TCPListener); ok && secure != nil {
						l = tls.NewListener(l, secure)
					}
					out, taken[i], found = append(out, l), true, found+1
				}
			}
			if found == 0 {
				return nil, fmt.Errorf("no sockets found via socket activation for %s: make sure the service was started by systemd", text)
			}
		}
	}
	return out, nil
}

func tlsConfig(c *config.Config) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("could not load X509 key pair (cert: %q, key: %q): %w", c.TLSCert, c.TLSKey, err)
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert},
		NextProtos: []string{"http/1.1"}, // hijacked streams need it
	}
	if c.VerifyClients() {
		pem, err := os.ReadFile(c.TLSCACert)
		if err != nil {
			return nil, fmt.Errorf("could not read CA certificate %q: %w", c.TLSCACert, err)
		}
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificates in %q", c.TLSCACert)
		}
	}
	return t, nil
}

// unixListener removes its socket when it is closed, if it is still its own.
type unixListener struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// Addr is the address clients use.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// listenUnix opens a socket of mode 0660. It comes into being in a private
// directory and is moved to its place when it has owner and mode, so that it is
// at no moment open to others, whatever the umask. A socket in its place is
// replaced if nobody answers on it.
func listenUnix(ctx context.Context, path, group string) (_ net.Listener, err error) {
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	if err := stale(ctx, path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".b")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = l.Close()
		}
	}()
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	if err := os.Chown(made, 0, gid); err != nil && os.Geteuid() == 0 {
		return nil, err
	}
	if err := os.Chmod(made, socketMode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(made)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(made, path); err != nil {
		return nil, err
	}
	return &unixListener{ul, path, info}, nil
}

// stale checks that path is free, or a socket that nobody answers on.
func stale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("there is something that is not a socket")
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("somebody listens on it already: is a daemon running?")
	}
	if strings.Contains(err.Error(), "refused") {
		return nil
	}
	return err
}

func groupID(group string) (int, error) {
	if group == "" {
		return 0, nil
	}
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(id), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("could not change group to %s: %w", group, err)
	}
	return strconv.Atoi(g.Gid)
}

// Inherited is a listening socket handed over by a service manager.
type Inherited struct {
	FD       int
	Name     string
	Listener net.Listener
}

// firstInherited is the number of the first handed-over descriptor.
const firstInherited = 3

// InheritedListeners returns the sockets that systemd handed to this process, and
// removes the variables that say so from the environment.
func InheritedListeners() ([]Inherited, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(v); err != nil {
			return nil, err
		}
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("invalid LISTEN_FDS %q", count)
	}
	name := strings.Split(names, ":")
	var out []Inherited
	for i := range n {
		in := Inherited{FD: firstInherited + i}
		if i < len(name) {
			in.Name = name[i]
		}
		f := os.NewFile(uintptr(in.FD), in.Name)
		in.Listener, err = net.FileListener(f) // a copy, which no child inherits
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("socket activation: descriptor %d: %w", in.FD, err)
		}
		out = append(out, in)
	}
	return out, nil
}
