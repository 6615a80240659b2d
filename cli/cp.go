package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/cli/cp"
	"github.com/docker/go-units"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type cpFlags struct{ archive, follow, quiet bool }

func newCp(s *Session) *cobra.Command {
	var o cpFlags
	cmd := &cobra.Command{
		Use: "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n" +
			"\tberth cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
		Short: "Copy files/folders between a container and the local filesystem",
		Long: `Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.`,
		Args:        exactArgs(2),
		Annotations: callable(0, "container cp", "cp"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("quiet") {
				o.quiet = !s.IO.OutTTY()
			}
			return s.cp(cmd.Context(), args[0], args[1], o)
		},
		ValidArgsFunction: s.completeCp,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.archive, "archive", "a", false, "Archive mode (copy all uid/gid information)")
	f.BoolVarP(&o.follow, "follow-link", "L", false, "Always follow symlinks in SRC_PATH")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached")
	return cmd
}

// completeCp offers containers, and leaves paths to the shell.
func (s *Session) completeCp(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 || strings.ContainsAny(word, "/:") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, n := range s.containerNames(cmd, true, nil) {
		names = append(names, n+":")
	}
	return names, cobra.ShellCompDirectiveNoSpace
}

// splitCp separates CONTAINER:PATH. What begins with "/" or "." is local.
func splitCp(arg string) (container, file string) {
	name, rest, ok := strings.Cut(arg, ":")
	if !ok || path.IsAbs(arg) || strings.HasPrefix(name, ".") {
		return "", arg
	}
	return name, rest
}

func (s *Session) cp(ctx context.Context, source, destination string, o cpFlags) error {
	switch "" {
	case source:
		return errors.New("source can not be empty")
	case destination:
		return errors.New("destination can not be empty")
	}
	from, src := splitCp(source)
	to, dst := splitCp(destination)
	switch {
	case from != "" && to != "":
		return errors.New("copying between containers is not supported")
	case from == "" && to == "":
		return errors.New("must specify at least one container source")
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	if from != "" {
		return s.cpOut(ctx, api, from, src, dst, o)
	}
	return s.cpIn(ctx, api, to, src, dst, o)
}

// cpOut copies from a container to here.
func (s *Session) cpOut(ctx context.Context, api *client.Client, name, src, dst string, o cpFlags) (err error) {
	if dst != "-" {
		if dst, err = outputPath(dst); err != nil {
			return err
		}
	}
	info := cp.Info{Path: src, Exists: true}
	if o.follow {
		// Which file that is must be known before, for its name here.
		st, err := api.ContainerStatPath(ctx, name, client.ContainerStatPathOptions{Path: src})
		if err == nil && st.Stat.Mode&os.ModeSymlink != 0 {
			info.Path, info.Rename = cp.Followed(src, absoluteTarget(src, st.Stat.LinkTarget))
		}
	}
	got, err := api.CopyFromContainer(ctx, name, client.CopyFromContainerOptions{SourcePath: info.Path})
	if err != nil {
		return err
	}
	defer got.Content.Close()
	if dst == "-" {
		_, err := io.Copy(s.IO.Out, got.Content)
		return err
	}
	info.IsDir = got.Stat.Mode.IsDir()
	where, err := cp.Destination(dst)
	if err != nil {
		return err
	}
	dir, rename, err := cp.Place(info, where)
	if err != nil {
		return err
	}
	if info.Rename != "" {
		_, base := cp.Split(info.Path)
		first, then := cp.Rebase(base, info.Rename), rename
		rename = func(n string) string { return then(first(n)) }
	}
	report := s.progress("Copying from container - ", o.quiet)
	err = cp.Unpack(report.of(got.Content), dir, cp.UnpackOptions{Rename: rename, KeepOwner: o.archive})
	report.end(err, dst)
	return err
}

// outputPath checks a local destination as Docker does.
func outputPath(dst string) (string, error) {
	dst, err := cp.Local(dst)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(filepath.Clean(dst))
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("invalid output path: directory %q does not exist", dir)
	}
	if info, err := os.Stat(dst); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return "", fmt.Errorf("invalid output path: %q must be a directory or a regular file", dst)
	}
	return dst, nil
}

func absoluteTarget(link, target string) string {
	if path.IsAbs(target) {
		return target
	}
	dir, _ := cp.Split(link)
	return path.Join(dir, target)
}

// cpIn copies from here into a container.
func (s *Session) cpIn(ctx context.Context, api *client.Client, name, src, dst string, o cpFlags) error {
	where := cp.Info{Path: dst}
	st, err := api.ContainerStatPath(ctx, name, client.ContainerStatPathOptions{Path: dst})
	if err == nil && st.Stat.Mode&os.ModeSymlink != 0 {
		where.Path = absoluteTarget(dst, st.Stat.LinkTarget)
		st, err = api.ContainerStatPath(ctx, name, client.ContainerStatPathOptions{Path: where.Path})
	}
	if err == nil {
		where.Exists, where.IsDir = true, st.Stat.Mode.IsDir()
		if !where.IsDir && !st.Stat.Mode.IsRegular() {
			return fmt.Errorf("destination \"%s:%s\" must be a directory or a regular file", name, dst)
		}
	}
	// An error is left to the copy itself, which has the words for it.
	if src == "-" {
		if !where.IsDir {
			return fmt.Errorf("destination \"%s:%s\" must be a directory", name, dst)
		}
		_, err := api.CopyToContainer(ctx, name, client.CopyToContainerOptions{DestinationPath: where.Path, Content: s.IO.In, CopyUIDGID: o.archive})
		return err
	}
	if src, err = cp.Local(src); err != nil {
		return err
	}
	info, err := cp.Source(src, o.follow)
	if err != nil {
		return err
	}
	dir, rename, err := cp.Place(info, where)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := cp.Pack(w, info, cp.PackOptions{Rename: rename, KeepOwner: o.archive})
		_ = w.CloseWithError(err) // never fails
		packed <- err
	}()
	report := s.progress("Copying to container - ", o.quiet)
	_, err = api.CopyToContainer(ctx, name, client.CopyToContainerOptions{DestinationPath: dir, Content: report.of(r)})
	_ = r.Close() // never fails
	if local := <-packed; local != nil && !errors.Is(local, io.ErrClosedPipe) {
		err = local // the request failed because of it
	}
	report.end(err, name+":"+dst)
	return err
}

func humanSize(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
