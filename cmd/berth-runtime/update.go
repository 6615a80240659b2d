package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/docker/go-units"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// limitFlags are the flags of update. Each puts its value where it belongs.
type limitFlags struct {
	file, l3, bandwidth string
	to                  specs.LinuxResources
}

func updateVerb() *verb {
	l := &limitFlags{to: specs.LinuxResources{
		Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, BlockIO: &specs.LinuxBlockIO{}, Pids: &specs.LinuxPids{},
	}}
	return &verb{
		name: "update", args: "container-id", min: 1, max: 1,
		about: "change limits of a container", flags: l.flags,
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			if l.l3 != "" || l.bandwidth != "" {
				return 1, errors.New("update: Intel RDT (--l3-cache-schema, --mem-bw-schema) is not implemented")
			}
			r, err := l.resources()
			if err != nil {
				return 1, err
			}
			return 0, p.root.Update(ctx, args[0], r)
		},
	}
}

func (l *limitFlags) flags(f *flag.FlagSet) {
	m, c := l.to.Memory, l.to.CPU
	stringFlag(f, &l.file, "resources", "r", "", "`file` with resources as in config.json, or - for standard input; other flags are ignored then")
	number(f, &l.to.BlockIO.Weight, "blkio-weight", "relative weight, 10 to 1000", func(s string) (uint16, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		return uint16(n), err
	})
	number(f, &c.Period, "cpu-period", "microseconds of a period of the CPU quota", unsigned)
	number(f, &c.Quota, "cpu-quota", "microseconds of CPU time in a period", signed)
	number(f, &c.Burst, "cpu-burst", "microseconds that may be saved up", unsigned)
	number(f, &c.Shares, "cpu-share", "relative weight", unsigned)
	number(f, &c.RealtimePeriod, "cpu-rt-period", "microseconds of a realtime period", unsigned)
	number(f, &c.RealtimeRuntime, "cpu-rt-runtime", "microseconds of realtime in a period", signed)
	number(f, &c.Idle, "cpu-idle", "1: run only when nothing else does", signed)
	f.StringVar(&c.Cpus, "cpuset-cpus", "", "processors to use")
	f.StringVar(&c.Mems, "cpuset-mems", "", "memory nodes to use")
	number(f, &m.Limit, "memory", "bytes of memory, with units; -1: no limit", bytes)
	number(f, &m.Reservation, "memory-reservation", "bytes of memory to fall back to when it is short", bytes)
	number(f, &m.Swap, "memory-swap", "bytes of memory and swap together; -1: no limit", bytes)
	number(f, &m.Kernel, "kernel-memory", "ignored: the kernel has no such limit any more", bytes) //nolint:staticcheck // deprecated, and accepted
	number(f, &m.KernelTCP, "kernel-memory-tcp", "ignored: the kernel has no such limit any more", bytes)
	number(f, &l.to.Pids.Limit, "pids-limit", "number of tasks; -1: no limit", signed)
	f.StringVar(&l.l3, "l3-cache-schema", "", "not implemented")
	f.StringVar(&l.bandwidth, "mem-bw-schema", "", "not implemented")
}

// number declares a flag whose absence is not zero.
func number[T any](f *flag.FlagSet, to **T, name, text string, parse func(string) (T, error)) {
	f.Func(name, text, func(s string) error {
		if s == "" {
			return nil
		}
		v, err := parse(s)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %w", name, err)
		}
		*to = &v
		return nil
	})
}

func unsigned(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func signed(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

func bytes(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	return units.RAMInBytes(s)
}

func (l *limitFlags) resources() (*specs.LinuxResources, error) {
	r := &l.to
	if l.file != "" {
		in := io.Reader(os.Stdin)
		if l.file != "-" {
			f, err := os.Open(l.file)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			in = f
		}
		r = &specs.LinuxResources{}
		if err := json.NewDecoder(in).Decode(r); err != nil {
			return nil, fmt.Errorf("resources: %w", err)
		}
	}
	if m := r.Memory; m != nil && m.Limit != nil && *m.Limit == -1 && m.Swap == nil {
		m.Swap = m.Limit // swap is counted together with memory
	}
	return r, nil
}
