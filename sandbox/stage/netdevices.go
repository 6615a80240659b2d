package stage

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/netdev"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// wantedDevices comes with frameDevices and the container's network namespace.
type wantedDevices struct{ Devices []netdev.Device }

func (w *wantedDevices) describe(c *codec) {
	list(c, &w.Devices, func(c *codec, d *netdev.Device) { c.str(&d.Name); c.str(&d.NewName) })
}

func validateNetDevices(spec *specs.Spec, plan namespaces, netnsGiven bool) error {
	if len(spec.Linux.NetDevices) > 0 && !plan.owns(unix.CLONE_NEWNET, netnsGiven) {
		return invalid("unable to move network devices without a NET namespace")
	}
	for name, d := range spec.Linux.NetDevices {
		for _, n := range []string{name, d.Name} {
			if !netdev.Valid(n) && (n != "" || n == name) {
				return invalid("invalid network device name %q", n)
			}
		}
	}
	return nil
}

// moveDevices has the parent move network devices here: it is where they are.
// Hooks and sysctls find them.
func (s *setup) moveDevices() error {
	devices := s.Spec.Linux.NetDevices
	if len(devices) == 0 {
		return nil
	}
	var w wantedDevices
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		w.Devices = append(w.Devices, netdev.Device{Name: name, NewName: devices[name].Name})
	}
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	return s.ask(frameDevices, w.describe, own)
}

// ask waits until the parent has done something.
func (s *setup) ask(kind byte, describe func(*codec), file *os.File) error {
	if err := send(s.control, kind, describe, file); err != nil {
		return err
	}
	answer, _, _, err := receive(s.control)
	if err != nil || answer != frameGoOn {
		os.Exit(1) // the parent says itself what went wrong, to whom it concerns
	}
	return nil
}

// moveDevices is the parent's part.
func (p *Process) moveDevices(body []byte, netns *os.File) error {
	if netns == nil {
		return errors.New("container init: the network namespace got lost")
	}
	defer netns.Close()
	var w wantedDevices
	if err := decode(body, w.describe); err != nil {
		return err
	}
	if err := netdev.Move(netns, w.Devices); err != nil {
		return err
	}
	return p.goOn()
}

func (p *Process) goOn() error {
	if err := send(p.control, frameGoOn, nothing, nil); err != nil {
		return fmt.Errorf("container init: %w", err)
	}
	return nil
}
