package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	moby "github.com/moby/moby/client"
)

// refusedMethods are those of moby's client whose operations are not served,
// or belong to other stories: every other method must be in a chapter.
const refusedMethods = `
	BuildCachePrune BuildCancel ImageBuild
	CheckpointCreate CheckpointList CheckpointRemove
	ConfigCreate ConfigInspect ConfigList ConfigRemove ConfigUpdate
	ImageAttestations ImageSearch DistributionInspect
	NodeInspect NodeList NodeRemove NodeUpdate
	PluginCreate PluginDisable PluginEnable PluginInspect PluginInstall PluginList PluginPush PluginRemove PluginSet PluginUpgrade
	SecretCreate SecretInspect SecretList SecretRemove SecretUpdate
	ServiceCreate ServiceInspect ServiceList ServiceLogs ServiceRemove ServiceUpdate
	SwarmGetUnlockKey SwarmInit SwarmInspect SwarmJoin SwarmLeave SwarmUnlock SwarmUpdate
	TaskInspect TaskList TaskLogs VolumeUpdate`

// chapters use moby's Go client, each the methods it names.
var chapters = []struct {
	methods string
	tell    func(context.Context, *testing.T, *moby.Client)
}{
	{"ClientVersion DaemonHost Dialer DialHijack Ping ServerVersion Info DiskUsage RegistryLogin Close", aboutEngine},
	{"ContainerCreate ContainerInspect ContainerList ContainerStart ContainerTop ContainerStats ContainerPause ContainerUnpause " +
		"ContainerUpdate ContainerRename ContainerRestart ContainerKill ContainerWait ContainerStop ContainerRemove ContainerPrune Events", aboutLife},
	{"ContainerAttach ContainerLogs ContainerResize ExecCreate ExecAttach ExecStart ExecInspect ExecResize", aboutStreams},
	{"CopyToContainer CopyFromContainer ContainerStatPath ContainerDiff ContainerExport ContainerCommit", aboutFiles},
	{"ImageList ImageInspect ImageHistory ImageTag ImagePull ImagePush ImageSave ImageLoad ImageImport ImageRemove ImagePrune", aboutImages},
	{"VolumeCreate VolumeInspect VolumeList VolumeRemove VolumePrune", aboutVolumes},
	{"NetworkCreate NetworkInspect NetworkList NetworkConnect NetworkDisconnect NetworkRemove NetworkPrune", aboutNetworks},
}

func TestMobyClient(t *testing.T) {
	told := strings.Fields(refusedMethods)
	for _, c := range chapters {
		told = append(told, strings.Fields(c.methods)...)
	}
	for m := range reflect.TypeFor[*moby.Client]().Methods() {
		if !slices.Contains(told, m.Name) {
			t.Errorf("no chapter for Client.%s", m.Name)
		}
	}
	d := newDaemon(t)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", "-q", "busybox")
	must(t, d, "docker", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	for _, c := range chapters {
		api, err := moby.New(moby.WithHost(d.Host()))
		if err != nil {
			t.Fatal(err)
		}
		c.tell(t.Context(), t, api)
		if err := api.Close(); err != nil {
			t.Error(err)
		}
	}
	noLeak(t, d, before)
}

// made is the result of a call that must succeed.
func made[T any](result T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// begin makes and starts a container of busybox, which ends at once when it is
// stopped.
func begin(ctx context.Context, t *testing.T, api *moby.Client, name string, c *container.Config, h *container.HostConfig) {
	t.Helper()
	c.Image, c.StopSignal = "busybox", "KILL"
	made(api.ContainerCreate(ctx, moby.ContainerCreateOptions{Name: name, Config: c, HostConfig: h}))(t)
	made(api.ContainerStart(ctx, name, moby.ContainerStartOptions{}))(t)
}

func drop(ctx context.Context, t *testing.T, api *moby.Client, name string) {
	t.Helper()
	made(api.ContainerRemove(ctx, name, moby.ContainerRemoveOptions{Force: true, RemoveVolumes: true}))(t)
}

func text(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func aboutEngine(ctx context.Context, t *testing.T, api *moby.Client) {
	ping := made(api.Ping(ctx, moby.PingOptions{NegotiateAPIVersion: true}))(t)
	same(t, "the version agreed on", api.ClientVersion(), ping.APIVersion)
	same(t, "the server's version", made(api.ServerVersion(ctx, moby.ServerVersionOptions{}))(t).APIVersion, ping.APIVersion)
	same(t, "the kind of host", made(api.Info(ctx, moby.InfoOptions{}))(t).Info.OSType, "linux")
	if !strings.HasPrefix(api.DaemonHost(), "unix://") {
		t.Errorf("host %q", api.DaemonHost())
	}
	conn := made(api.Dialer()(ctx))(t)
	if _, err := fmt.Fprint(conn, "GET /_ping HTTP/1.0\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if answer := text(t, conn); !strings.HasSuffix(answer, "OK") {
		t.Errorf("ping by hand: %q", answer)
	}
	if _, err := api.DialHijack(ctx, "/session", "nothing", nil); err == nil {
		t.Error("a protocol that there is not was taken")
	}
	same(t, "images in use", made(api.DiskUsage(ctx, moby.DiskUsageOptions{Images: true}))(t).Images.ActiveCount, int64(0))
	_, err := api.RegistryLogin(ctx, moby.RegistryLoginOptions{Username: "u", Password: "p", ServerAddress: "127.0.0.1:1"})
	if err == nil {
		t.Error("logged in where nobody listens")
	}
}

func aboutLife(ctx context.Context, t *testing.T, api *moby.Client) {
	listening, stop := context.WithCancel(ctx)
	defer stop()
	events := api.Events(listening, moby.EventsListOptions{Filters: moby.Filters{}.Add("type", "container").Add("container", "life")})
	begin(ctx, t, api, "life", &container.Config{Cmd: []string{"sleep", "1000"}, Labels: map[string]string{"kind": "story"}}, nil)
	list := made(api.ContainerList(ctx, moby.ContainerListOptions{Filters: moby.Filters{}.Add("label", "kind=story")}))(t)
	same(t, "containers", len(list.Items), 1)
	same(t, "processes", len(made(api.ContainerTop(ctx, "life", moby.ContainerTopOptions{}))(t).Processes), 1)
	if s := text(t, made(api.ContainerStats(ctx, "life", moby.ContainerStatsOptions{}))(t).Body); !strings.Contains(s, `"cpu_stats"`) {
		t.Errorf("stats: %s", s)
	}
	made(api.ContainerPause(ctx, "life", moby.ContainerPauseOptions{}))(t)
	same(t, "paused", made(api.ContainerInspect(ctx, "life", moby.ContainerInspectOptions{}))(t).Container.State.Status, container.StatePaused)
	made(api.ContainerUnpause(ctx, "life", moby.ContainerUnpauseOptions{}))(t)
	made(api.ContainerUpdate(ctx, "life", moby.ContainerUpdateOptions{Resources: &container.Resources{Memory: 64 << 20, MemorySwap: 64 << 20}}))(t)
	made(api.ContainerRename(ctx, "life", moby.ContainerRenameOptions{NewName: "other"}))(t)
	made(api.ContainerRestart(ctx, "other", moby.ContainerRestartOptions{}))(t)
	wait := api.ContainerWait(ctx, "other", moby.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	made(api.ContainerKill(ctx, "other", moby.ContainerKillOptions{Signal: "KILL"}))(t)
	select {
	case r := <-wait.Result:
		same(t, "exit status", r.StatusCode, int64(137))
	case err := <-wait.Error:
		t.Error(err)
	}
	made(api.ContainerStart(ctx, "other", moby.ContainerStartOptions{}))(t)
	made(api.ContainerStop(ctx, "other", moby.ContainerStopOptions{}))(t)
	same(t, "pruned", len(made(api.ContainerPrune(ctx, moby.ContainerPruneOptions{}))(t).Report.ContainersDeleted), 1)
	if _, err := api.ContainerRemove(ctx, "other", moby.ContainerRemoveOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("removed twice: %v", err)
	}
	select {
	case m := <-events.Messages:
		same(t, "the first event", string(m.Action), "create")
	case err := <-events.Err:
		t.Error(err)
	}
}

func aboutStreams(ctx context.Context, t *testing.T, api *moby.Client) {
	made(api.ContainerCreate(ctx, moby.ContainerCreateOptions{Name: "streams", Config: &container.Config{
		Image: "busybox", Cmd: []string{"sh", "-c", "cat; echo err >&2; exec sleep 1000"}, StopSignal: "KILL",
		OpenStdin: true, StdinOnce: true, AttachStdin: true,
	}}))(t)
	conn := made(api.ContainerAttach(ctx, "streams", moby.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true}))(t)
	made(api.ContainerStart(ctx, "streams", moby.ContainerStartOptions{}))(t)
	if _, err := io.WriteString(conn.Conn, "typed\n"); err != nil {
		t.Error(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	logs := made(api.ContainerLogs(ctx, "streams", moby.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true}))(t)
	eventuallyLogs(t, logs)
	conn.Close()
	made(api.ContainerResize(ctx, "streams", moby.ContainerResizeOptions{Height: 10, Width: 20}))(t)

	exec := func(tty bool, command ...string) string {
		return made(api.ExecCreate(ctx, "streams", moby.ExecCreateOptions{Cmd: command, AttachStdout: true, AttachStderr: true, TTY: tty}))(t).ID
	}
	id := exec(false, "sh", "-c", "echo out; exit 3")
	x := made(api.ExecAttach(ctx, id, moby.ExecAttachOptions{}))(t)
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, io.Discard, x.Reader); err != nil {
		t.Error(err)
	}
	x.Close()
	same(t, "output", out.String(), "out\n")
	same(t, "exit status", made(api.ExecInspect(ctx, id, moby.ExecInspectOptions{}))(t).ExitCode, 3)
	id = exec(true, "sleep", "1000")
	made(api.ExecStart(ctx, id, moby.ExecStartOptions{Detach: true, TTY: true}))(t)
	made(api.ExecResize(ctx, id, moby.ExecResizeOptions{Height: 10, Width: 20}))(t)
	drop(ctx, t, api, "streams")
}

// eventuallyLogs reads until both lines have come.
func eventuallyLogs(t *testing.T, logs io.ReadCloser) {
	t.Helper()
	defer logs.Close()
	var all strings.Builder
	buf := make([]byte, 1024)
	for !strings.Contains(all.String(), "typed\n") || !strings.Contains(all.String(), "err\n") {
		n, err := logs.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("logs end with %v after %q", err, all.String())
		}
	}
}

func aboutFiles(ctx context.Context, t *testing.T, api *moby.Client) {
	begin(ctx, t, api, "files", &container.Config{Cmd: []string{"sleep", "1000"}}, nil)
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o640, Size: 4}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("here")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	made(api.CopyToContainer(ctx, "files", moby.CopyToContainerOptions{DestinationPath: "/tmp", Content: &in}))(t)
	same(t, "size", made(api.ContainerStatPath(ctx, "files", moby.ContainerStatPathOptions{Path: "/tmp/file"}))(t).Stat.Size, int64(4))
	if s := text(t, made(api.CopyFromContainer(ctx, "files", moby.CopyFromContainerOptions{SourcePath: "/tmp/file"}))(t).Content); !strings.Contains(s, "here") {
		t.Errorf("copied %q", s)
	}
	changes := made(api.ContainerDiff(ctx, "files", moby.ContainerDiffOptions{}))(t).Changes
	if !slices.Contains(changes, container.FilesystemChange{Kind: container.ChangeAdd, Path: "/tmp/file"}) {
		t.Errorf("changes %v", changes)
	}
	if s := text(t, made(api.ContainerExport(ctx, "files", moby.ContainerExportOptions{}))(t)); !strings.Contains(s, "tmp/file") {
		t.Error("what was copied is not exported")
	}
	made(api.ContainerCommit(ctx, "files", moby.ContainerCommitOptions{Reference: "from-files"}))(t)
	made(api.ImageRemove(ctx, "from-files", moby.ImageRemoveOptions{}))(t)
	drop(ctx, t, api, "files")
}

func aboutImages(ctx context.Context, t *testing.T, api *moby.Client) {
	same(t, "images", len(made(api.ImageList(ctx, moby.ImageListOptions{}))(t).Items), 1)
	id := made(api.ImageInspect(ctx, "busybox"))(t).ID
	if len(made(api.ImageHistory(ctx, "busybox"))(t).Items) == 0 {
		t.Error("an image without history")
	}
	name := hub.Addr + "/library/pushed:1"
	made(api.ImageTag(ctx, moby.ImageTagOptions{Source: "busybox", Target: name}))(t)
	push := made(api.ImagePush(ctx, name, moby.ImagePushOptions{RegistryAuth: "e30="}))(t)
	// The Hub may want an account: what counts is that its answer comes back.
	if err := push.Wait(ctx); err != nil && !strings.Contains(err.Error(), "denied") && !strings.Contains(err.Error(), "authori") {
		t.Errorf("push: %v", err)
	}
	made(api.ImageRemove(ctx, name, moby.ImageRemoveOptions{}))(t)
	if err := made(api.ImagePull(ctx, "hello-world", moby.ImagePullOptions{}))(t).Wait(ctx); err != nil {
		t.Error(err)
	}
	archive := text(t, made(api.ImageSave(ctx, []string{"hello-world"}))(t))
	made(api.ImageRemove(ctx, "hello-world", moby.ImageRemoveOptions{}))(t)
	text(t, made(api.ImageLoad(ctx, strings.NewReader(archive)))(t))
	made(api.ImageRemove(ctx, "hello-world", moby.ImageRemoveOptions{}))(t)
	var empty bytes.Buffer
	if err := tar.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	text(t, made(api.ImageImport(ctx, moby.ImageImportSource{Source: &empty, SourceName: "-"}, "imported:1", moby.ImageImportOptions{}))(t))
	made(api.ImageRemove(ctx, "imported:1", moby.ImageRemoveOptions{}))(t)
	made(api.ImagePrune(ctx, moby.ImagePruneOptions{}))(t)
	same(t, "the image", made(api.ImageInspect(ctx, "busybox"))(t).ID, id)
}

func aboutVolumes(ctx context.Context, t *testing.T, api *moby.Client) {
	made(api.VolumeCreate(ctx, moby.VolumeCreateOptions{Name: "kept", Labels: map[string]string{"kind": "story"}}))(t)
	same(t, "driver", made(api.VolumeInspect(ctx, "kept", moby.VolumeInspectOptions{}))(t).Volume.Driver, "local")
	begin(ctx, t, api, "holder", &container.Config{Cmd: []string{"true"}}, &container.HostConfig{Binds: []string{"kept:/v"}})
	if _, err := api.VolumeRemove(ctx, "kept", moby.VolumeRemoveOptions{}); !cerrdefs.IsConflict(err) {
		t.Errorf("removed in use: %v", err)
	}
	drop(ctx, t, api, "holder")
	same(t, "volumes", len(made(api.VolumeList(ctx, moby.VolumeListOptions{Filters: moby.Filters{}.Add("label", "kind=story")}))(t).Items), 1)
	made(api.VolumeRemove(ctx, "kept", moby.VolumeRemoveOptions{}))(t)
	made(api.VolumeCreate(ctx, moby.VolumeCreateOptions{Name: "unused"}))(t)
	same(t, "pruned", made(api.VolumePrune(ctx, moby.VolumePruneOptions{All: true}))(t).Report.VolumesDeleted, []string{"unused"})
}

func aboutNetworks(ctx context.Context, t *testing.T, api *moby.Client) {
	made(api.NetworkCreate(ctx, "story", moby.NetworkCreateOptions{Labels: map[string]string{"kind": "story"}}))(t)
	same(t, "driver", made(api.NetworkInspect(ctx, "story", moby.NetworkInspectOptions{}))(t).Network.Driver, "bridge")
	same(t, "networks", len(made(api.NetworkList(ctx, moby.NetworkListOptions{Filters: moby.Filters{}.Add("label", "kind=story")}))(t).Items), 1)
	begin(ctx, t, api, "member", &container.Config{Cmd: []string{"sleep", "1000"}}, nil)
	made(api.NetworkConnect(ctx, "story", moby.NetworkConnectOptions{Container: "member"}))(t)
	joined := func() int {
		return len(made(api.ContainerInspect(ctx, "member", moby.ContainerInspectOptions{}))(t).Container.NetworkSettings.Networks)
	}
	same(t, "networks of the container", joined(), 2)
	made(api.NetworkDisconnect(ctx, "story", moby.NetworkDisconnectOptions{Container: "member"}))(t)
	same(t, "networks of the container", joined(), 1)
	drop(ctx, t, api, "member")
	made(api.NetworkRemove(ctx, "story", moby.NetworkRemoveOptions{}))(t)
	made(api.NetworkCreate(ctx, "unused", moby.NetworkCreateOptions{}))(t)
	same(t, "pruned", made(api.NetworkPrune(ctx, moby.NetworkPruneOptions{}))(t).Report.NetworksDeleted, []string{"unused"})
}
