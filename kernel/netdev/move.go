package netdev

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// A Device is an interface of the calling thread's network namespace.
type Device struct {
	Name string
	// NewName is what it is called in the other namespace, or with %d in it a
	// pattern; empty: Name.
	NewName string
}

// Valid tells whether a name may be an interface's (dev_valid_name of the
// kernel). Patterns may.
func Valid(name string) bool {
	return name != "" && len(name) < unix.IFNAMSIZ && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/:\x00 \t\n\v\f\r")
}

// Move moves devices into the network namespace to and brings them up there.
// The kernel keeps their attributes; permanent addresses of global scope, which
// it drops, are given to them again. Nothing is moved unless all devices are there
// and their names are free. The error is EEXIST if there is one of that name, ENODEV if
// there is none to move.
func Move(to *os.File, devices []Device) error {
	here, err := open()
	if err != nil {
		return err
	}
	defer here.close()
	moves := make([]move, len(devices))
	for i, d := range devices {
		moves[i].Device = d
		if err := moves[i].look(here); err != nil {
			return fmt.Errorf("network device %q: %w", d.Name, err)
		}
	}
	var there *conn
	err = ns.WithNetNS(to, func() (err error) {
		there, err = open()
		return err
	})
	if err != nil {
		return err
	}
	defer there.close()
	taken, err := there.links()
	if err != nil {
		return err
	}
	// The kernel would notice when the device has been moved already.
	var names []string
	for _, l := range taken {
		names = append(names, l.name)
	}
	for _, m := range moves {
		if slices.Contains(names, m.NewName) {
			return fmt.Errorf("network device %q: the container has a device %q: %w", m.Name, m.NewName, unix.EEXIST)
		}
		if !strings.Contains(m.NewName, "%d") {
			names = append(names, m.NewName)
		}
	}
	for i := range moves {
		if err := moves[i].do(here, there, to); err != nil {
			return fmt.Errorf("network device %q: %w", moves[i].Name, err)
		}
	}
	return nil
}

// move is a device on its way.
type move struct {
	Device
	index     uint32
	addresses []address
}

func (m *move) look(here *conn) (err error) {
	if m.NewName == "" {
		m.NewName = m.Name
	}
	if !Valid(m.Name) || !Valid(m.NewName) {
		return fmt.Errorf("not a name of an interface: %w", unix.EINVAL)
	}
	links, err := here.links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.name == m.Name {
			m.index = l.index
			m.addresses, err = here.addresses(l.index)
			return err
		}
	}
	return unix.ENODEV
}

func (m *move) do(here, there *conn, to *os.File) error {
	before, err := there.links()
	if err != nil {
		return err
	}
	err = here.setLink(link{index: m.index, netns: int32(to.Fd()), name: m.NewName})
	runtime.KeepAlive(to)
	if err != nil {
		return err
	}
	// It may have got another number, and by a pattern another name.
	after, err := there.links()
	if err != nil {
		return err
	}
	for _, l := range after {
		index := l.index
		if slices.ContainsFunc(before, func(b link) bool { return b.index == index }) {
			continue
		}
		for i := range m.addresses {
			if err := there.addAddress(index, &m.addresses[i]); err != nil {
				return fmt.Errorf("restore an address: %w", err)
			}
		}
		return there.setLink(link{index: index, up: true})
	}
	return errors.New("it did not arrive")
}
