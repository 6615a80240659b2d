package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newPort(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "port CONTAINER [PRIVATE_PORT[/PROTO]]",
		Short:       "List port mappings or a specific mapping for the container",
		Args:        oneOrTwoArgs,
		Annotations: callable(0, "container port", "port"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.port(cmd.Context(), args[0], append(args, "")[1])
		},
		ValidArgsFunction: s.completeContainers(1, false, nil),
	}
}

func (s *Session) port(ctx context.Context, name, want string) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	c, err := api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	var ports network.PortMap
	if n := c.Container.NetworkSettings; n != nil {
		ports = n.Ports
	}
	if want != "" {
		number, _, _ := strings.Cut(want, "/")
		_, err := strconv.ParseUint(number, 10, 16) // in Docker's words
		if err != nil {
			return fmt.Errorf("Error: invalid port (%s): %w", number, err)
		}
		p, err := network.ParsePort(want)
		if err != nil {
			return fmt.Errorf("Error: invalid port (%s): %w", want, err)
		}
		if len(ports[p]) == 0 {
			return fmt.Errorf("Error: No public port '%s' published for %s", want, name)
		}
		for _, b := range sortedBindings(ports[p]) {
			fmt.Fprintln(s.IO.Out, hostPort(b))
		}
		return nil
	}
	var keys []network.Port
	for p := range ports {
		keys = append(keys, p)
	}
	slices.SortFunc(keys, func(a, b network.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), cmp.Compare(a.Proto(), b.Proto()))
	})
	for _, p := range keys {
		for _, b := range sortedBindings(ports[p]) {
			fmt.Fprintf(s.IO.Out, "%s -> %s\n", p, hostPort(b))
		}
	}
	return nil
}

func hostPort(b network.PortBinding) string {
	ip := ""
	if b.HostIP.IsValid() {
		ip = b.HostIP.String()
	}
	return net.JoinHostPort(ip, b.HostPort)
}

func sortedBindings(list []network.PortBinding) []network.PortBinding {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b network.PortBinding) int {
		m, _ := strconv.Atoi(a.HostPort)
		n, _ := strconv.Atoi(b.HostPort)
		return cmp.Or(a.HostIP.Compare(b.HostIP), cmp.Compare(m, n))
	})
	return list
}
