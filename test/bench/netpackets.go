package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

const (
	datagram = 200                    // bytes of a user in each
	window   = 200                    // datagrams whose time is taken together
	flooding = 300 * time.Millisecond // for each sample
	sinkPort = 5202
	sinkRoom = 4096 // bytes of a receiver's buffer, which is soon full
)

// packets measures what a datagram of an established connection costs the
// processor that sends it, through everything up to the receiver's socket. The
// kernel does all of that in the sender's name, so its time says it, and the
// tenth percentile of short windows says it on a busy machine, too: within a
// hundredth, where streams vary by a tenth.
func packets(ctx context.Context, o options, own *own, r *report) error {
	on, err := own.besidePlain(ctx, sinkPort, "udp")
	if err != nil {
		return err
	}
	defer on.close()
	plain, hand, a, b, host := on.plain, on.hand, on.a, on.b, on.host
	type side struct {
		target   string
		from, to *place
	}
	for range o.n {
		for _, w := range []struct {
			name  string
			sides []side
		}{
			{"container to container", []side{{"plain bridge", plain.b, plain.a}, {byHand, hand.b, hand.a}, {own.name, b, a}}},
			{"container to host", []side{{"plain bridge", plain.b, plain.host}, {byHand, hand.b, hand.host}, {own.name, b, host}}},
			{"host to container", []side{{"plain bridge", plain.host, plain.a}, {byHand, hand.host, hand.a}, {own.name, host, a}}},
		} {
			for _, s := range w.sides {
				if err := r.addFlood(w.name, s.target, s.from, s.to, s.to.address, sinkPort); err != nil {
					return err
				}
			}
		}
		// Without rules nothing is published: beside what the host sends to the container itself.
		const name = "host to published port, 127.0.0.1"
		for _, err := range []error{
			r.addFlood(name, "plain bridge", plain.host, plain.a, plain.a.address, sinkPort),
			r.addFlood(name, byHand, hand.host, hand.a, "127.0.0.1", on.port),
			r.addFlood(name, own.name, host, a, "127.0.0.1", on.port),
		} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *report) addFlood(name, target string, from, to *place, address string, port int) error {
	ns, err := flood(from, to, netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port)))
	if err != nil {
		return fmt.Errorf("datagrams, %s, %s: %w", name, target, err)
	}
	r.add(benchCase{name: fmt.Sprintf("a datagram of %d bytes, processor time, %s", datagram, name), unit: "µs"}, target, ns/1000)
	return nil
}

// flood sends datagrams to an address that leads to sinkPort of another place,
// where the first is answered and further ones find no room. It returns
// nanoseconds for each.
func flood(from, to *place, address netip.AddrPort) (float64, error) {
	var sink *net.UDPConn
	err := to.do(func() (err error) {
		sink, err = net.ListenUDP("udp4", &net.UDPAddr{Port: sinkPort})
		return err
	})
	if err != nil {
		return 0, err
	}
	defer sink.Close()
	if err := errors.Join(sink.SetReadBuffer(sinkRoom), sink.SetDeadline(time.Now().Add(time.Minute))); err != nil {
		return 0, err
	}
	var windows []float64
	send := func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}); err != nil {
			return err
		}
		data := make([]byte, datagram)
		if err := greet(fd, sink, data); err != nil {
			return err
		}
		for end := time.Now().Add(flooding); time.Now().Before(end); {
			before, err := threadTime()
			if err != nil {
				return err
			}
			for range window {
				if _, err := unix.Write(fd, data); err != nil {
					return err
				}
			}
			after, err := threadTime()
			if err != nil {
				return err
			}
			windows = append(windows, float64(after-before)/window)
		}
		return nil
	}
	if from.space == nil {
		err = ns.OnThread(send)
	} else {
		err = from.do(send)
	}
	if err != nil {
		return 0, err
	}
	slices.Sort(windows)
	return quantile(windows, 0.1), nil
}

// greet has the sink answer one datagram, so that there is a connection for who
// tracks them.
func greet(fd int, sink *net.UDPConn, data []byte) error {
	if _, err := unix.Write(fd, data); err != nil {
		return err
	}
	_, from, err := sink.ReadFrom(data)
	if err != nil {
		return err
	}
	if _, err := sink.WriteTo(data, from); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		return err
	}
	_, err = unix.Read(fd, data)
	return err
}

// threadTime is what the calling thread has had of the processors, in ns.
func threadTime() (int64, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return t.Nano(), err
}
