package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// updateFlags say what to change; what is not given stays.
type updateFlags struct {
	blkioWeight                                               uint16
	cpuPeriod, cpuQuota, cpuRtPeriod, cpuRtRuntime, cpuShares int64
	cpus                                                      opts.CPUs
	cpusetCpus, cpusetMems, restart                           string
	memory, memoryReservation                                 opts.Bytes
	memorySwap                                                opts.SwapBytes
	pidsLimit                                                 int64
}

func newUpdate(s *Session) *cobra.Command {
	var u updateFlags
	var more editFlags
	cmd := &cobra.Command{
		Use:   "update [OPTIONS] CONTAINER [CONTAINER...]",
		Short: "Update configuration of one or more containers",
		Long: "Update configuration of one or more containers.\n" +
			"What a container that runs can be given is given to it: limits, the restart policy, labels, the health check, limits of its log,\n" +
			"ports and mounts. For the rest it is run anew, with the same ID, name, addresses, volumes, files and logs; if that cannot be,\n" +
			"it runs on as it was before. --dry-run tells which it would be.",
		Args:        someArgs,
		Annotations: callable(0, "container update", "update"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().NFlag() == 0 {
				return errors.New("you must provide one or more flags when using this command")
			}
			o, err := u.options(cmd.Flags())
			if err != nil {
				return err
			}
			edit, err := more.edit(cmd.Flags())
			if err != nil {
				return err
			}
			if edit != nil || more.dryRun {
				return s.editAll(cmd.Context(), args, o, edit, more.dryRun)
			}
			return s.update(cmd.Context(), args, o)
		},
		ValidArgsFunction: s.completeContainers(-1, true, nil),
	}
	f := cmd.Flags()
	f.Uint16Var(&u.blkioWeight, "blkio-weight", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
	f.Int64Var(&u.cpuPeriod, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	f.Int64Var(&u.cpuQuota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	f.Int64Var(&u.cpuRtPeriod, "cpu-rt-period", 0, "Limit the CPU real-time period in microseconds")
	f.Int64Var(&u.cpuRtRuntime, "cpu-rt-runtime", 0, "Limit the CPU real-time runtime in microseconds")
	f.Int64VarP(&u.cpuShares, "cpu-shares", "c", 0, "CPU shares (relative weight)")
	f.Var(&u.cpus, "cpus", "Number of CPUs")
	f.StringVar(&u.cpusetCpus, "cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)")
	f.StringVar(&u.cpusetMems, "cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)")
	f.VarP(&u.memory, "memory", "m", "Memory limit")
	f.Var(&u.memoryReservation, "memory-reservation", "Memory soft limit")
	f.Var(&u.memorySwap, "memory-swap", "Swap limit equal to memory plus swap: -1 to enable unlimited swap")
	f.Int64Var(&u.pidsLimit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)")
	f.StringVar(&u.restart, "restart", "", "Restart policy to apply when a container exits")
	more.add(f)
	_ = cmd.RegisterFlagCompletionFunc("restart", completeWords("always", "no", "on-failure", "unless-stopped"))
	return cmd
}

func (u *updateFlags) options(f *pflag.FlagSet) (o client.ContainerUpdateOptions, err error) {
	o.Resources = &container.Resources{
		BlkioWeight: u.blkioWeight,
		CPUPeriod:   u.cpuPeriod, CPUQuota: u.cpuQuota, CPUShares: u.cpuShares, NanoCPUs: int64(u.cpus),
		CPURealtimePeriod: u.cpuRtPeriod, CPURealtimeRuntime: u.cpuRtRuntime,
		CpusetCpus: u.cpusetCpus, CpusetMems: u.cpusetMems,
		Memory: int64(u.memory), MemoryReservation: int64(u.memoryReservation), MemorySwap: int64(u.memorySwap.Bytes),
	}
	if f.Changed("pids-limit") {
		o.Resources.PidsLimit = &u.pidsLimit
	}
	if u.restart != "" {
		policy, err := opts.ParseRestart(u.restart)
		if err != nil {
			return o, err
		}
		o.RestartPolicy = &policy
	}
	return o, nil
}

// update changes one after the other, and tells the warnings at the end.
func (s *Session) update(ctx context.Context, names []string, o client.ContainerUpdateOptions) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	var warnings []string
	var errs []error
	for _, name := range names {
		r, err := api.ContainerUpdate(ctx, name, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(s.IO.Out, name)
		warnings = append(warnings, r.Warnings...)
	}
	if len(warnings) > 0 {
		fmt.Fprintln(s.IO.Out, strings.Join(warnings, "\n"))
	}
	return errors.Join(errs...)
}
