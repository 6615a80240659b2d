package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

// versionInfo is what --format sees; the names are Docker's.
type versionInfo struct {
	Client clientVersion
	Server *serverVersion
}

type clientVersion struct {
	Version           string `json:",omitempty"`
	APIVersion        string `json:"ApiVersion,omitempty"`
	DefaultAPIVersion string `json:",omitempty"`
	GitCommit         string `json:",omitempty"`
	GoVersion         string `json:",omitempty"`
	Os                string `json:",omitempty"`
	Arch              string `json:",omitempty"`
	BuildTime         string `json:",omitempty"`
	Context           string
}

type serverVersion struct {
	Platform      client.PlatformInfo
	Version       string
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string
	GitCommit     string
	GoVersion     string
	Os            string
	Arch          string
	KernelVersion string
	Experimental  bool
	BuildTime     string
	Components    []system.ComponentVersion
}

func newVersion(s *Session) *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use:         "version [OPTIONS]",
		Short:       "Show the Berth version information",
		Args:        noArgs,
		Annotations: map[string]string{commonKey: "10"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return s.version(cmd.Context(), text) },
	}
	cmd.Flags().StringVarP(&text, "format", "f", "", inspectFormatHelp)
	return cmd
}

// version shows the client's part also when the daemon does not answer.
func (s *Session) version(ctx context.Context, text string) error {
	if text != "" && text != format.JSON {
		if _, err := format.Parse(text); err != nil {
			return &statusError{64, fmt.Errorf("template parsing error: %w", err)}
		}
	}
	info := versionInfo{Client: s.clientVersion()}
	api, err := s.client(ctx)
	if err == nil {
		var v client.ServerVersionResult
		if v, err = api.ServerVersion(ctx, client.ServerVersionOptions{}); err == nil {
			info.Server = newServerVersion(v)
		}
		info.Client.APIVersion = api.ClientVersion()
	}
	var werr error
	if text != "" {
		werr = format.Object(s.IO.Out, text, info)
	} else {
		werr = writeVersion(s.IO.Out, info)
	}
	if err == nil {
		err = werr
	}
	return err
}

func (s *Session) clientVersion() clientVersion {
	return clientVersion{
		Version: s.Build.Version, APIVersion: client.MaxAPIVersion, DefaultAPIVersion: client.MaxAPIVersion,
		GitCommit: s.Build.Commit, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH,
		BuildTime: date(s.Build.Time), Context: s.currentContext(),
	}
}

func newServerVersion(v client.ServerVersionResult) *serverVersion {
	out := &serverVersion{
		Platform: v.Platform, Version: v.Version, APIVersion: v.APIVersion, MinAPIVersion: v.MinAPIVersion,
		Os: v.Os, Arch: v.Arch, Experimental: v.Experimental, //nolint:staticcheck // formats may ask for it as long as daemons send it
		Components: v.Components,
	}
	i := slices.IndexFunc(out.Components, func(c system.ComponentVersion) bool { return c.Name == "Engine" })
	if i < 0 {
		out.Components = append(out.Components, system.ComponentVersion{Name: "Engine", Version: v.Version, Details: map[string]string{
			"ApiVersion": v.APIVersion, "MinAPIVersion": v.MinAPIVersion, "Os": v.Os, "Arch": v.Arch,
			"Experimental": strconv.FormatBool(v.Experimental), //nolint:staticcheck // as above
		}})
		return out
	}
	d := maps.Clone(out.Components[i].Details)
	if t, ok := d["BuildTime"]; ok {
		d["BuildTime"] = date(t)
	}
	out.Components[i].Details = d
	out.GitCommit, out.GoVersion, out.KernelVersion, out.BuildTime = d["GitCommit"], d["GoVersion"], d["KernelVersion"], d["BuildTime"]
	return out
}

func writeVersion(out io.Writer, info versionInfo) error {
	w := tabwriter.NewWriter(out, 20, 1, 1, ' ', 0)
	c := info.Client
	downgraded := ""
	if c.APIVersion != c.DefaultAPIVersion {
		downgraded = " (downgraded from " + c.DefaultAPIVersion + ")"
	}
	fmt.Fprintln(w, "Client: Berth")
	fmt.Fprintf(w, " Version:\t%s\n API version:\t%s%s\n Go version:\t%s\n Git commit:\t%s\n Built:\t%s\n OS/Arch:\t%s/%s\n Context:\t%s\n",
		c.Version, c.APIVersion, downgraded, c.GoVersion, c.GitCommit, c.BuildTime, c.Os, c.Arch, c.Context)
	if s := info.Server; s != nil {
		fmt.Fprint(w, "\nServer:")
		if s.Platform.Name != "" {
			fmt.Fprint(w, " "+s.Platform.Name)
		}
		for _, comp := range s.Components {
			writeComponent(w, comp)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func writeComponent(w io.Writer, c system.ComponentVersion) {
	fmt.Fprintf(w, "\n %s:\n  Version:\t%s", c.Name, c.Version)
	d := c.Details
	if c.Name != "Engine" {
		for _, k := range slices.Sorted(maps.Keys(d)) {
			fmt.Fprintf(w, "\n  %s:\t%s", k, d[k])
		}
		return
	}
	fmt.Fprintf(w, "\n  API version:\t%s (minimum version %s)\n  Go version:\t%s\n  Git commit:\t%s\n  Built:\t%s\n  OS/Arch:\t%s/%s\n  Experimental:\t%s",
		d["ApiVersion"], d["MinAPIVersion"], d["GoVersion"], d["GitCommit"], d["BuildTime"], d["Os"], d["Arch"], d["Experimental"])
}

// date writes a build's time as people do; anything else stays.
func date(s string) string {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.Format(time.ANSIC)
	}
	return s
}
